// SPDX-License-Identifier: MIT
// unwrap.js FOLDER OUTPUT: model.json and its weights out of modules of nsfwjs.
const fs = require('fs');
const path = require('path');

const [folder, output] = process.argv.slice(2);
const load = name => require(path.join(folder, name + '.min.js'));

const model = load('model');
fs.writeFileSync(path.join(output, 'model.json'), JSON.stringify(model));
for (const name of model.weightsManifest.flatMap(group => group.paths))
  fs.writeFileSync(path.join(output, name), Buffer.from(load(name), 'base64'));

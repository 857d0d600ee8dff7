// SPDX-License-Identifier: MIT
// Tensors in files, as runners.py writes and reads them.
const fs = require('fs');
const path = require('path');

const ARRAYS = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array };

/** The inputs in FOLDER: name, type, shape and a typed array each. */
exports.read = folder => JSON.parse(fs.readFileSync(path.join(folder, 'inputs.json')))
  .map((input, i) => {
    const bytes = new Uint8Array(fs.readFileSync(path.join(folder, `input${i}`)));
    return { ...input, data: new ARRAYS[input.type](bytes.buffer) };
  });

exports.write = (folder, outputs) => {
  outputs.forEach(({ data }, i) => fs.writeFileSync(path.join(folder, `output${i}`),
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength)));
  fs.writeFileSync(path.join(folder, 'outputs.json'),
    JSON.stringify(outputs.map(({ name, type, shape }) => ({ name, type, shape }))));
};

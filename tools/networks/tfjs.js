// SPDX-License-Identifier: MIT
// tfjs.js MODEL.json FOLDER: a graph model's outputs by TensorFlow.js, on the CPU.
const fs = require('fs');
const path = require('path');
const tf = require('dist/tf.min.js');
const tensors = require('./tensors.js');

const [file, folder] = process.argv.slice(2);

/** What tf.loadGraphModel() would fetch. */
const handler = {
  load: async () => {
    const model = JSON.parse(fs.readFileSync(file));
    const weightSpecs = model.weightsManifest.flatMap(group => group.weights);
    const shards = model.weightsManifest.flatMap(group => group.paths)
      .map(name => fs.readFileSync(path.join(path.dirname(file), name)));
    return { modelTopology: model.modelTopology, signature: model.signature,
             userDefinedMetadata: model.userDefinedMetadata, weightSpecs,
             weightData: new Uint8Array(Buffer.concat(shards)).buffer };
  },
};

(async () => {
  await tf.setBackend('cpu');
  const model = await tf.loadGraphModel(handler);
  const feeds = {};
  for (const { name, type, data, shape } of tensors.read(folder))
    feeds[name] = tf.tensor(data, shape, type);
  const results = await model.executeAsync(feeds, model.outputNodes);
  tensors.write(folder, await Promise.all([results].flat().map(async (result, i) => (
    { name: model.outputNodes[i].replace(/:0$/, ''), type: result.dtype, shape: result.shape,
      data: await result.data() }))));
})();

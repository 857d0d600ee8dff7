// SPDX-License-Identifier: MIT
// onnxruntime.js MODEL.onnx FOLDER: the model's outputs by ONNX Runtime, on one thread.
const ort = require('onnxruntime-node');
const tensors = require('./tensors.js');

const [model, folder] = process.argv.slice(2);
(async () => {
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 });
  const feeds = {};
  for (const { name, type, data, shape } of tensors.read(folder))
    feeds[name] = new ort.Tensor(type, data, shape);
  const results = await session.run(feeds);
  tensors.write(folder, session.outputNames.map(name => (
    { name, type: results[name].type, shape: results[name].dims, data: results[name].data })));
})();

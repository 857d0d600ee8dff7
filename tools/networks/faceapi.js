// SPDX-License-Identifier: MIT
// faceapi.js MANIFEST.json FOLDER: a network's output by face-api's own code, on the CPU.
const fs = require('fs');
const Module = require('module');
const path = require('path');
const tensors = require('./tensors.js');

// It asks for TensorFlow.js with native code, whose place plain JavaScript can take.
const load = Module._load;
Module._load = (name, ...rest) =>
  load(name.startsWith('@tensorflow/') ? 'dist/tf.min.js' : name, ...rest);
const faceapi = require('dist/face-api.node.js');

const { tf, nets } = faceapi;
const NETWORKS = {
  face_landmark_68_tiny: ['fc', nets.faceLandmark68TinyNet, (net, input) => net.runNet(input)],
  face_expression: ['expression', nets.faceExpressionNet, (net, input) => net.forwardInput(input)],
  tiny_face_detector: ['boxes', nets.tinyFaceDetector,
                       (net, input, side) => net.forwardInput(input, side)],
};

const [file, folder] = process.argv.slice(2);
(async () => {
  await tf.setBackend('cpu');
  const manifest = JSON.parse(fs.readFileSync(file));
  const weights = Buffer.concat(manifest.flatMap(group => group.paths)
    .map(name => fs.readFileSync(path.join(path.dirname(file), name))));
  const [name, net, run] = NETWORKS[path.basename(file).replace(/_model-.*/, '')];
  net.loadFromWeightMap(tf.io.decodeWeights(new Uint8Array(weights).buffer,
                                            manifest.flatMap(group => group.weights)));
  const [{ data, shape }] = tensors.read(folder);
  const input = await faceapi.toNetInput(tf.tensor(data, shape));
  const output = run(net, input, shape[1]);
  tensors.write(folder, [{ name, type: output.dtype, shape: output.shape,
                           data: await output.data() }]);
})();

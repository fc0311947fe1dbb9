"""The least that answers for one image: `bare_cold_start.py MODEL.onnx IMAGE SIZE`."""

import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
size = int(sys.argv[3])
image = Image.open(sys.argv[2]).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
print(session.run(["probabilities", "risk"], {"pixels": np.asarray(image)[None]})[1][0])

"""The names that users write and several parts of Nevus share, each list once.

The command line offers these names without loading what they stand for, such as TensorFlow. What a name
stands for is a row of a table elsewhere, named behind each list; the module of the table asserts that there
is a row for each name.
"""

# Networks of keras.applications, for which pretrained weights are published; nevus.learn.networks.backbones.BACKBONES.
BACKBONES = (
    "mobilenetv2",
    "mobilenetv3-small",
    "mobilenetv3-large",
    "efficientnetv2-b0",
    "efficientnetv2-b1",
    "efficientnetv2-s",
    "efficientnet-b0",
    "resnet50v2",
    "resnet50",
    "densenet121",
    "convnext-tiny",
)

# All networks that can be trained; nevus.learn.networks.architectures.NETWORKS.
NETWORKS = ("compact", "classic", *BACKBONES)

# Ways to train from random weights, and from pretrained ones; nevus.learn.training.recipe.RECIPES.
FROM_PRETRAINED = ("transfer", "transfer-long", "transfer-robust")
RECIPES = ("fast", "robust", "classic", *FROM_PRETRAINED)

# Rules that choose a threshold; nevus.assess.sections.thresholds.RULES.
OPERATING_POINTS = ("best-f1", "youden", "sensitivity-90", "sensitivity-95", "sensitivity-98")

# Formats of `nevus export`, and the file that each becomes in a run's folder; nevus.learn.export.formats.FORMATS.
EXPORTED_FILES = {
    "onnx": "model.onnx",
    "onnx-int8": "model.int8.onnx",
    "litert": "model.tflite",
    "litert-fp16": "model.fp16.tflite",
    "litert-int8": "model.int8.tflite",
    "keras": "model.answers.keras",
}

# Model files by their suffix: those that Nevus runs, and those that only carry their description in an archive.
ONNX_SUFFIX = ".onnx"
MODEL_SUFFIXES = tuple(dict.fromkeys(name[name.rindex(".") :] for name in EXPORTED_FILES.values()))
ARCHIVED_SUFFIXES = tuple(suffix for suffix in MODEL_SUFFIXES if suffix != ONNX_SUFFIX)

# Methods of explanation: the class activation map, which a model file itself gives, and those that need
# gradients; nevus.learn.explanation.gradcam.METHODS.
CAM = "cam"
GRADIENT_METHODS = ("grad-cam", "grad-cam++", "integrated-gradients")
EXPLANATION_METHODS = (CAM, *GRADIENT_METHODS)

# Severities of an audit's findings, from the least to the gravest: worth knowing; may mislead; a result on these
# data is wrong.
SEVERITIES = ("info", "warning", "error")

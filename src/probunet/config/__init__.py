"""Sections of `config.yaml` by topic; `probunet.study` combines them."""

from probunet.config.base import (
    Absent,
    Beta,
    Endpoint,
    PathText,
    Positive,
    Section,
    Seed,
    Size,
    Window,
    advice,
    check,
    check_endpoint,
)
from probunet.config.evaluation import Evaluation
from probunet.config.models import WITHOUT_KL, Architecture, ModelName, drawn_elsewhere
from probunet.config.reading import Places, read_json, read_yaml, where_set
from probunet.config.settings import Settings
from probunet.config.site import ContainerBuild, DeviceName, Fetch, Paths, Prepare, Report
from probunet.config.source import Source, Step
from probunet.config.training import Augmentation, DataPlace, Intensity, Training

__all__ = [
    "WITHOUT_KL",
    "Absent",
    "Architecture",
    "Augmentation",
    "Beta",
    "ContainerBuild",
    "DataPlace",
    "DeviceName",
    "Endpoint",
    "Evaluation",
    "Fetch",
    "Intensity",
    "ModelName",
    "PathText",
    "Paths",
    "Places",
    "Positive",
    "Prepare",
    "Report",
    "Section",
    "Seed",
    "Settings",
    "Size",
    "Source",
    "Step",
    "Training",
    "Window",
    "advice",
    "check",
    "check_endpoint",
    "drawn_elsewhere",
    "read_json",
    "read_yaml",
    "where_set",
]

"""The code location that `workspace.yaml` names: what all models share, and each model's own definitions."""

import dagster as dg

from lifecycle.components.model_definitions import faulty_definitions, model_definitions
from lifecycle.defs import alerts, feature_docs, features, platform
from lifecycle.features.usable_models import usable_models
from lifecycle.settings.platform import Settings
from serving.storage.private_files import keep_files_private


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors; a model whose file is faulty is a placeholder, the others run."""
    keep_files_private()
    models = usable_models(Settings())
    return dg.Definitions.merge(
        platform.defs(),
        alerts.defs(),
        features.defs(models),
        feature_docs.defs(models),
        *(model_definitions(spec) for spec in models.valid.values()),
        faulty_definitions(models.faulty),
    )

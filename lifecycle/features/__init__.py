"""Features: built in the warehouse by dbt, by days of `occurred_at`, and exported as Parquet."""

from lifecycle.features.builds import FeatureBuild, build
from lifecycle.features.export import FeatureExport, export
from lifecycle.features.manifest import ensure_manifest

__all__ = ["FeatureBuild", "FeatureExport", "build", "ensure_manifest", "export"]

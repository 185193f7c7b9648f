"""Raises an alert for each waiver that has expired, and shows it on the page of the asset `release`."""

import datetime as dt
from collections.abc import Sequence

import dagster as dg

from lifecycle.artefacts.bundles import bundle_manifest
from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.resources import Stores
from lifecycle.errors import LifecycleError
from lifecycle.gates.waiver_policy import expired_waivers
from lifecycle.monitoring.alerts import Alert
from lifecycle.monitoring.waivers import waiver_alert, waiver_key
from lifecycle.releases.alert_log import raise_alert, raised_keys
from serving.artefacts.release_rules import slots_of
from serving.contract.documents import Consent


def tell_expired_waivers(
    model: str, stores: Stores, acts: Sequence[Consent], instance: dg.DagsterInstance, now: dt.datetime
) -> list[Alert]:
    """Raise the alerts of waivers that expired and were not told yet; returns them.

    Parameters
    ----------
    acts
        All acts on the model's candidates, oldest first.
    """
    expired = expired_waivers(acts, now)
    raised = raised_keys(stores.settings.root) if expired else set()
    fresh = [waiver for waiver in expired if waiver_key(waiver) not in raised]
    dates = stores.candidates(model).dates() if fresh else {}
    alerts = []
    for waiver in fresh:
        digest = waiver.candidate_digest
        alert = waiver_alert(waiver, dates.get(digest), _slots(model, stores, digest), now)
        raise_alert(stores.settings, alert)
        _show(alert, instance)
        alerts.append(alert)
    return alerts


def _show(alert: Alert, instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(
        dg.AssetObservation(
            asset_key=ModelKeys(alert.model or "").release,
            partition=alert.as_of,
            description=alert.message,
            metadata={"waiver_expired": alert.message, "remedy": alert.remedy},
        )
    )


def _slots(model: str, stores: Stores, candidate_digest: str) -> list[str]:
    """Slots of the release in force that a candidate fills; none if that cannot be read, which other alerts tell."""
    store, keys = stores.settings.release_store, stores.key_ring().public_keys
    try:
        release = stores.releases().latest(model)
        filled = () if release is None else slots_of(release)
        return [
            slot
            for slot, one in filled
            if bundle_manifest(store, one.bundle_digest, keys).candidate_digest == candidate_digest
        ]
    except LifecycleError:
        return []

"""The schedule of the features: a model that lacks days gets runs of its own."""

import datetime as dt

import dagster as dg
import pytest

from lifecycle.assets.feature_schedule import MODELS_TAG, ModelFeatures, feature_schedule
from lifecycle.assets.partitions import RANGE_END_TAG, RANGE_START_TAG
from lifecycle.settings.platform import Settings

DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01")
CARDS, LOANS, SHARED = (dg.AssetKey(["marts", name]) for name in ("cards", "loans", "shared"))
MODELS = {
    "cards": ModelFeatures(CARDS, frozenset({CARDS, SHARED})),
    "loans": ModelFeatures(LOANS, frozenset({LOANS, SHARED})),
}
YESTERDAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)


def back(days: int) -> str:
    return str(YESTERDAY - dt.timedelta(days=days))


@pytest.fixture
def definitions(settings: Settings) -> dg.Definitions:
    settings.root.mkdir(parents=True)

    def built(key: dg.AssetKey) -> dg.AssetsDefinition:
        @dg.asset(key=key, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
        def table() -> None: ...

        return table

    job = dg.define_asset_job("features", selection=[CARDS, LOANS, SHARED])
    return dg.Definitions(
        assets=[built(key) for key in (CARDS, LOANS, SHARED)],
        jobs=[job],
        schedules=[feature_schedule("daily", job, MODELS, "01:00")],
    )


def requested(definitions: dg.Definitions, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    repository = definitions.get_repository_def()
    now = dt.datetime.now(dt.UTC)
    with dg.build_schedule_context(instance, now, repository_def=repository) as context:
        return list(repository.get_schedule_def("daily").evaluate_tick(context).run_requests or [])


def cover(instance: dg.DagsterInstance, mart: dg.AssetKey, *days: int) -> None:
    for day in days:
        instance.report_runless_asset_event(dg.AssetMaterialization(mart, partition=back(day)))


def test_models_that_lack_the_same_day_share_a_run_of_the_whole_job(
    definitions: dg.Definitions, settings: Settings
) -> None:
    with dg.DagsterInstance.local_temp(str(settings.root)) as instance:
        for mart in (CARDS, LOANS):
            cover(instance, mart, 1, 2)
        (request,) = requested(definitions, instance)
        assert (request.partition_key, request.asset_selection, MODELS_TAG in request.tags) == (back(0), None, False)


def test_a_model_whose_build_failed_repeats_its_own_days_only(definitions: dg.Definitions, settings: Settings) -> None:
    with dg.DagsterInstance.local_temp(str(settings.root)) as instance:
        cover(instance, CARDS, 1, 2, 3)
        cover(instance, LOANS, 3)
        cards, loans = requested(definitions, instance)
        assert (cards.partition_key, set(cards.asset_selection or ())) == (back(0), {CARDS, SHARED})
        assert (loans.tags[RANGE_START_TAG], loans.tags[RANGE_END_TAG]) == (back(2), back(0))
        assert (loans.tags[MODELS_TAG], set(loans.asset_selection or ())) == ("loans", {LOANS, SHARED})
        assert cards.run_key != loans.run_key


def test_a_run_of_one_model_in_flight_does_not_hold_up_the_other(
    definitions: dg.Definitions, settings: Settings
) -> None:
    with dg.DagsterInstance.local_temp(str(settings.root)) as instance:
        cover(instance, CARDS, 1)
        cover(instance, LOANS, 1)
        job = definitions.resolve_job_def("features")
        tags = {"dagster/partition": back(0), MODELS_TAG: "loans"}
        instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        (request,) = requested(definitions, instance)
        assert request.tags[MODELS_TAG] == "cards"

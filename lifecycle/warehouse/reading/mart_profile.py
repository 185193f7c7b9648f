"""What a built mart holds: its days, its traffic, and for each feature the nulls and the values outside its schema."""

from lifecycle.gates.model_against_data import FeatureProfile, MartProfile, OutcomeProfile
from lifecycle.spec.risk_model import FeatureSpec, RiskModelSpec
from lifecycle.warehouse.interface import Warehouse
from lifecycle.warehouse.reading.examples import MARTS, expect_built_columns


def mart_profile(warehouse: Warehouse, spec: RiskModelSpec) -> MartProfile | None:
    """Profile of a model's mart by one pass over it; ``None`` if it has not been built or is empty.

    Raises
    ------
    LifecycleError
        If it was built without a column that the model reads.
    """
    relation, columns = f"{MARTS}.{spec.mart}", spec.columns
    known = warehouse.query(
        "select count(*) as tables from information_schema.tables "
        "where lower(table_schema) = ? and lower(table_name) = ?",
        [MARTS, spec.mart.lower()],
    ).to_pylist()
    if not known[0]["tables"]:
        return None
    expect_built_columns(warehouse, spec)
    measured = [*_outcomes_measured(spec)]
    measured += [part for index, feature in enumerate(spec.features) for part in _measured(index, feature)]
    sql = f"""
        select
            count(*) as row_count,
            count(*) - count(distinct {columns.id}) as repeated_ids,
            cast(min({columns.occurred_at}) as date) as first_day,
            cast(max({columns.occurred_at}) as date) as last_day,
            {", ".join(measured)}
        from {relation}
        """
    [row] = warehouse.query(sql).to_pylist()
    if not row["row_count"]:
        return None
    [traffic] = warehouse.query(
        f"""
        select avg(entities) as entities_a_day from (
            select cast({columns.occurred_at} as date) as day, count(distinct {columns.entity}) as entities
            from {relation} group by 1
        ) as days
        """
    ).to_pylist()
    return MartProfile(
        rows=row["row_count"],
        first_day=row["first_day"],
        last_day=row["last_day"],
        entities_a_day=float(traffic["entities_a_day"]),
        features=tuple(
            FeatureProfile(
                feature.name,
                nulls=row["row_count"] - row[f"filled_{index}"],
                outside=int(row[f"outside_{index}"] or 0),
                is_constant=bool(row[f"constant_{index}"]),
            )
            for index, feature in enumerate(spec.features)
        ),
        repeated_ids=row["repeated_ids"],
        outcomes=None
        if spec.label.column is None
        else OutcomeProfile(*(int(row[f"{name}_outcomes"]) for name in ("known", "positive", "undated", "early"))),
    )


def _outcomes_measured(spec: RiskModelSpec) -> list[str]:
    """The SQL that counts the outcomes of a label by column; none by report, whose table is another."""
    label, outcome = spec.label, spec.label.column
    if outcome is None:
        return []
    conditions = {
        "known": f"{outcome} is not null and {label.known_at} is not null",
        "positive": f"{label.known_at} is not null and cast({outcome} as integer) = 1",
        "undated": f"{outcome} is not null and {label.known_at} is null",
        "early": f"{label.known_at} < {spec.columns.occurred_at}",
    }
    return [
        f"sum(case when {condition} then 1 else 0 end) as {name}_outcomes" for name, condition in conditions.items()
    ]


def _measured(index: int, feature: FeatureSpec) -> list[str]:
    """The SQL that measures one feature; `outside` counts what a training set or a request would be refused for."""
    name = feature.name
    outside = []
    if feature.minimum is not None:
        outside.append(f"{name} < {feature.minimum!r}")
    if feature.maximum is not None:
        outside.append(f"{name} > {feature.maximum!r}")
    if feature.dtype == "category" and feature.other is None:
        listed = ", ".join("'" + category.replace("'", "''") + "'" for category in feature.categories or ())
        outside.append(f"{name} not in ({listed})")
    condition = " or ".join(outside) or "false"
    return [
        f"count({name}) as filled_{index}",
        f"sum(case when {condition} then 1 else 0 end) as outside_{index}",
        f"(count(*) > 1 and count({name}) = count(*) and min({name}) = max({name})) as constant_{index}",
    ]

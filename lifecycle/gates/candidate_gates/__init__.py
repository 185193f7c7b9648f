"""The gates that a candidate must pass before it is registered: a module for each, with a function to a `Verdict`.

Models are compared by paired bootstrap differences: both are evaluated on the same draws of cards, so that the
difficulty of a draw cancels out. The candidate must be superior to the baseline (the interval of the difference is
above 0) and not inferior to the champion (the interval is not below 0). These are the two uses of a confidence interval
in ICH E9, Statistical Principles for Clinical Trials (1998), section 3.3.
"""

from lifecycle.gates.candidate_gates import (
    above_floor,
    beats_baseline,
    bounded_declines,
    calibrated,
    consistent,
    enough_evidence,
    explained,
    fair_by_group,
    no_leaking_feature,
    not_costlier,
    not_worse_by_slice,
    not_worse_than_champion,
    point_in_time,
    robust,
    servable,
)

DESCRIPTIONS = {
    gate.NAME: gate.DESCRIPTION
    for gate in (
        enough_evidence,
        point_in_time,
        above_floor,
        no_leaking_feature,
        beats_baseline,
        not_worse_than_champion,
        not_worse_by_slice,
        not_costlier,
        bounded_declines,
        fair_by_group,
        calibrated,
        robust,
        explained,
        consistent,
        servable,
    )
}
"""What each gate demands, by its name and in the order of the verdicts."""
GATES = tuple(DESCRIPTIONS)

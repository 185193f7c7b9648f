"""The features' definitions once more, in the plainest Python: what the SQL is held against."""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

DAY_US = 86_400_000_000
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the warehouse's timestamps are naive and in UTC

Row = Mapping[str, Any]


def microseconds(moment: dt.datetime) -> int:
    """Whole microseconds since 1970."""
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


def expected_features(
    transactions: Iterable[Row], reports: Iterable[Row], withdrawals: Iterable[Row] = ()
) -> dict[int, dict[str, Any]]:
    """Features by transaction_id."""
    rows = [dict(row, us=microseconds(row["occurred_at"])) for row in transactions]
    reported = _Reports(reports, withdrawals)
    features = {row["transaction_id"]: _features(row, rows, reported) for row in rows}
    ratios = {key: found["customer_amount_ratio_30d"] for key, found in features.items()}
    for row in rows:
        features[row["transaction_id"]]["terminal_plain_fraud_count_30d"] = sum(
            ratios[other["transaction_id"]] < 2
            for other in _matured(row, rows, days=30)
            if reported.is_known(other["transaction_id"], row["us"])
        )
    return features


class _Reports:
    """Reports and withdrawals by transaction."""

    def __init__(self, reports: Iterable[Row], withdrawals: Iterable[Row]) -> None:
        self.reported: dict[int, list[int]] = {}
        self.withdrawn: dict[int, list[int]] = {}
        for times, rows, column in (
            (self.reported, reports, "reported_at"),
            (self.withdrawn, withdrawals, "withdrawn_at"),
        ):
            for row in rows:
                times.setdefault(row["transaction_id"], []).append(microseconds(row[column]))

    def is_known(self, transaction: int, now: int) -> bool:
        """Whether a report has come that no later withdrawal has ended."""
        return any(
            reported <= now and not any(reported <= us <= now for us in self.withdrawn.get(transaction, ()))
            for reported in self.reported.get(transaction, ())
        )


def _matured(row: dict[str, Any], rows: list[dict[str, Any]], days: int) -> list[dict[str, Any]]:
    """Transactions of the terminal in ``(t - 7 d - days, t - 7 d]``."""
    end = row["us"] - 7 * DAY_US
    return [
        other
        for other in rows
        if other["terminal_id"] == row["terminal_id"] and end - days * DAY_US < other["us"] <= end
    ]


def _features(row: dict[str, Any], rows: list[dict[str, Any]], reported: _Reports) -> dict[str, Any]:
    now = row["us"]
    known = [
        other
        for other in rows
        if other["customer_id"] == row["customer_id"]
        and (other["us"] < now or (other["us"] == now and other["transaction_id"] <= row["transaction_id"]))
    ]

    def is_known_fraud(other: dict[str, Any]) -> bool:
        return reported.is_known(other["transaction_id"], now)

    features: dict[str, Any] = {
        "amount": row["amount"],
        "is_weekend": int(row["occurred_at"].weekday() >= 5),
        "is_night": int(row["occurred_at"].hour <= 6),
    }
    for days in (1, 7, 30):
        amounts = [other["amount"] for other in known if other["us"] > now - days * DAY_US]
        features[f"customer_tx_count_{days}d"] = len(amounts)
        features[f"customer_mean_amount_{days}d"] = float(sum(amounts, Decimal(0))) / len(amounts)
        window = _matured(row, rows, days)
        frauds = sum(is_known_fraud(other) for other in window)
        features[f"terminal_tx_count_{days}d"] = len(window)
        features[f"terminal_fraud_share_{days}d"] = frauds / len(window) if window else 0.0
    mean = features["customer_mean_amount_30d"]
    greatest = max(other["amount"] for other in known if other["us"] > now - 7 * DAY_US)
    features["customer_amount_ratio_30d"] = float(row["amount"]) / mean if mean else 0.0
    features["customer_max_amount_ratio_7d"] = float(greatest) / mean if mean else 0.0
    features["customer_max_amount_7d"] = float(greatest)
    window = _matured(row, rows, 30)
    genuine = [other["us"] for other in window if not is_known_fraud(other)]
    features["terminal_hours_since_genuine"] = (now - max(genuine)) / 3.6e9 if genuine else 888.0
    last = max((other["us"] for other in window), default=None)
    features["is_terminal_last_fraud"] = int(any(is_known_fraud(other) for other in window if other["us"] == last))
    return features

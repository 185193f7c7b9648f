"""From a registered version to the release that servers read."""

import dagster as dg

from lifecycle.assets.keys import ModelKeys
from lifecycle.assets.partitions import as_of_dates
from lifecycle.assets.registry import seal
from lifecycle.assets.resources import Installation
from lifecycle.judgement.promotion import PromotionState, Refusal, decide_promotion
from lifecycle.spec import RiskModelSpec

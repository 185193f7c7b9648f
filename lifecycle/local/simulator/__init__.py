"""Simulates card transactions from a seed, for the demonstration, load tests and experiments with drift."""

from lifecycle.local.simulator.config import SimulationConfig
from lifecycle.local.simulator.tables import SimulatedDay, Simulator, customers_table, simulate_day, terminals_table
from lifecycle.local.simulator.writing import SIMULATED, SimulationSummary, simulate

__all__ = [
    "SIMULATED",
    "SimulatedDay",
    "SimulationConfig",
    "SimulationSummary",
    "Simulator",
    "customers_table",
    "simulate",
    "simulate_day",
    "terminals_table",
]

"""Missions: plan, journal, policy, review."""

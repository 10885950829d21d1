"""Estimates of any number of recordings: one Parquet file for each, one index of all."""

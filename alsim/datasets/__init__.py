"""Datasets: their columns, how they are collected, stored and read."""

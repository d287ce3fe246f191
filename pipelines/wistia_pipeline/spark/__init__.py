"""The SQL models on Spark, from Parquet files that dlt has written where all its workers can read them."""

from .build import SparkBuild, build_on_spark

__all__ = ["SparkBuild", "build_on_spark"]

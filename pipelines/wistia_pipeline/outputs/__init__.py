"""What leaves the warehouse: exports, and the report."""

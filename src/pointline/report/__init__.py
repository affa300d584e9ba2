"""What people read: the summary table and the charts."""

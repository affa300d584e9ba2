"""Archive files into the lake: read by sources, checked, united with what is there, stored."""

"""What was known when: funding, mark, index, open interest and last prices as of the end of each bar."""

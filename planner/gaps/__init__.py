"""How the dates of each phase stand: counted, judged and summed up. Decides nothing."""

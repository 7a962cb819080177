"""How the dates of each phase stand: judged by the evidence, and summed up. Decides nothing."""

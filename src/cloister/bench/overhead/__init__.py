"""What confidentiality costs: the same contract on several servers, on the same peers, by turns in one run.

`work` says what is called, `servers` where it runs, `drive` how clients call, `run` who takes turns when, `report` what
came of it.
"""

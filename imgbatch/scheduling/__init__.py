"""Commands that recur on this machine: kept, woken by systemd, cron or a loop, told of.

    add -> schedule.json + a timer          (systemd user timer, else a cron line, else the loop)
    timer -> `schedule run NAME --due`      is a tick due? one at a time? run, log, note, notify
                                            another run on its dataset? due again in ten minutes

The timers only wake; which tick is due is told by the journal alone. So every kind of timer catches
up after downtime, once, and one that wakes too often does no harm.

    FOLDER/<name>/schedule.json   what to run and when
    FOLDER/<name>/journal.jsonl   what began, ended and was skipped
    FOLDER/<name>/lock            held by the command that is at work, through the process itself
    FOLDER/<name>/logs/           what the last commands printed
"""

<?php
// Takes jobs out of the database, one after the other, until it is told to stop.
$stop = false;
pcntl_signal(SIGTERM, function () use (&$stop) { $stop = true; });
while (!$stop) {
    pcntl_signal_dispatch();
    sleep(1);
}

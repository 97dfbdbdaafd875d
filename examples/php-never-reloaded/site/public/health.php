<?php
header('Content-Type: text/plain');
echo is_writable(__DIR__ . '/uploads') ? "ok\n" : "uploads/ cannot be written\n";

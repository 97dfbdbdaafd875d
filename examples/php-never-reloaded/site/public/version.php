<?php
header('Content-Type: text/plain');
readfile(__DIR__ . '/../build-id');

<?php
$build = trim(file_get_contents(__DIR__ . '/../build-id'));
echo "<h1>Hello from PHP, build $build</h1>\n";

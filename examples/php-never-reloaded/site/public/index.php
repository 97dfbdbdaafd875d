<?php
$settings = json_decode(file_get_contents(__DIR__ . '/../config/settings.json'), true);
ini_set('memory_limit', $settings['memory_limit']);
$build = trim(file_get_contents(__DIR__ . '/../build-id'));
echo "<h1>Shop ({$settings['environment']}), build $build</h1>\n";

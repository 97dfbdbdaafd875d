<?php
echo "<h1>Forum</h1>\n";

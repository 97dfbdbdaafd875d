<?php
// Brings the schema of the database to what this release needs; older releases must still work with it.
echo getenv('DATABASE_URL') ? "migrations: none to run\n" : "migrations: no database here\n";

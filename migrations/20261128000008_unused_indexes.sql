-- Searches sort by the packed rows. These were kept right with every model and every counter, and read by nobody.
DROP INDEX model_by_age;
DROP INDEX model_by_downloads;

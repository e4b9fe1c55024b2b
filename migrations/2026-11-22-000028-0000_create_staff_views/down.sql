DROP TABLE staff_views;

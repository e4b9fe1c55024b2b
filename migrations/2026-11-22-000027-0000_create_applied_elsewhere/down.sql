DROP FUNCTION applied_elsewhere;

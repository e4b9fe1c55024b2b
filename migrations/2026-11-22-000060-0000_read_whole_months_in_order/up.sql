-- Sessions that serve plan without sequential scans, so that no statement depends on fresh statistics. What recounts a
-- whole month or everything wants them: an index would have it read the same pages in another order.
ALTER FUNCTION recount_applications(regclass) SET enable_seqscan = on;
ALTER FUNCTION recount_application_days() SET enable_seqscan = on;

-- One row is one thing to look at: the alerts of one session, or else of one agent, user, server or tool on one day.
-- Only current alerts count that no suppression hides. `risk` is the sum of four parts, at most 100; see docs/detect.md for their reasons.
WITH current AS (
    SELECT
        coalesce(incident_id, alert_id) AS incident_id, alert_id, rule_id, rule_title, coalesce(rule_group, rule_id) AS rule_group,
        level, session_id, agent, user_id, server, tool, first_seen, last_seen, tags, call_ids,
        CASE level WHEN 'critical' THEN 5 WHEN 'high' THEN 4 WHEN 'medium' THEN 3 WHEN 'low' THEN 2 ELSE 1 END AS rank,
        CASE level WHEN 'critical' THEN 55.0 WHEN 'high' THEN 40.0 WHEN 'medium' THEN 22.0 WHEN 'low' THEN 8.0 ELSE 2.0 END
            * CASE status WHEN 'stable' THEN 1.0 WHEN 'test' THEN 0.85 WHEN 'experimental' THEN 0.6 ELSE 0.4 END AS weight
    FROM stored.alerts
    WHERE superseded_by IS NULL AND resolved IS NULL AND suppressed_by IS NULL
),
spread AS (
    SELECT rule_id, count(DISTINCT incident_id) AS incidents
    FROM current
    GROUP BY rule_id
),
total AS (
    SELECT count(DISTINCT incident_id) AS incidents
    FROM current
),
judged AS (
    -- With few incidents every rule is rare, and that says nothing.
    SELECT c.*, (1.0 - CAST(s.incidents AS DOUBLE) / t.incidents) * least(1.0, t.incidents / 20.0) AS rarity
    FROM current AS c
    JOIN spread AS s ON s.rule_id = c.rule_id
    CROSS JOIN total AS t
),
parts AS (
    SELECT
        incident_id,
        max(weight) AS risk_level,
        8.0 * least(3, count(DISTINCT rule_group) - 1) AS risk_groups,
        -- A rule that was moved has alerts of two kinds until it runs again.
        3.0 * greatest(0, least(3, count(DISTINCT rule_id) - count(DISTINCT rule_group))) AS risk_rules,
        round(12.0 * max(rarity), 1) AS risk_rarity,
        max(rank) AS rank,
        first_value(rule_title ORDER BY weight DESC, last_seen DESC, alert_id) AS title,
        min(session_id) AS session_id,
        min(agent) AS agent,
        min(user_id) AS user_id,
        array_agg(DISTINCT server ORDER BY server) FILTER (WHERE server IS NOT NULL) AS servers,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        count(*) AS alerts,
        array_agg(DISTINCT rule_group ORDER BY rule_group) AS groups,
        array_agg(DISTINCT rule_id ORDER BY rule_id) AS rules,
        array_agg(alert_id ORDER BY last_seen, alert_id) AS alert_ids
    FROM judged
    GROUP BY incident_id
)
SELECT
    incident_id,
    round(risk_level + risk_groups + risk_rules + risk_rarity, 1) AS risk,
    risk_level,
    risk_groups,
    risk_rules,
    risk_rarity,
    CASE rank WHEN 5 THEN 'critical' WHEN 4 THEN 'high' WHEN 3 THEN 'medium' WHEN 2 THEN 'low' ELSE 'informational' END AS level,
    title,
    session_id,
    agent,
    user_id,
    servers,
    first_seen,
    last_seen,
    alerts,
    groups,
    rules,
    alert_ids
FROM parts

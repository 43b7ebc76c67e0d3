-- One row is one secret in one call that a link is signed with which is made for handing on: a signed download, a share, an invitation.
-- Who has the link was meant to have it, so such a secret is no leaked credential.
SELECT DISTINCT u.call_id, u.origin, s.value AS secret
FROM stored.observables AS u
JOIN stored.observables AS s ON s.call_id = u.call_id AND s.origin = u.origin AND s.type = 'secret'
WHERE u.type = 'url' AND strpos(u.value, '[secret:') > 0 AND is_link_signature(u.value, s.value)

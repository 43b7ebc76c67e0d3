//! Taxonomy ids that a rule's tags may name, pinned so that a typing error cannot pass for a technique.
//!
//! `owasp.mcp01`…`mcp10` (OWASP MCP Top 10), `owasp.asi01`…`asi10` (OWASP Top 10 for Agentic Applications),
//! `atlas.AML.T…` (MITRE ATLAS 5.6.0) and `attack.T…` (MITRE ATT&CK Enterprise 18, techniques; their sub-techniques
//! are checked by shape only).

/// Says what is wrong with a tag.
pub(super) fn check(tag: &str) -> Result<(), String> {
    let (scheme, id) = tag.split_once('.').unwrap_or((tag, ""));
    let known = match scheme {
        "owasp" => id
            .strip_prefix("mcp")
            .or(id.strip_prefix("asi"))
            .is_some_and(|n| n.len() == 2 && n.parse::<u8>().is_ok_and(|n| (1..=10).contains(&n))),
        "atlas" => id.strip_prefix("AML.T").is_some_and(|id| ATLAS.split_whitespace().any(|known| known == id)),
        "attack" => id.strip_prefix('T').is_some_and(|id| {
            let (technique, sub) = id.split_once('.').map_or((id, None), |(t, s)| (t, Some(s)));
            let sub_fits = sub.is_none_or(|s| s.len() == 3 && s.bytes().all(|b| b.is_ascii_digit()));
            sub_fits && ATTACK.split_whitespace().any(|known| known == technique)
        }),
        _ => return Err(format!("tag `{tag}`: expected owasp.mcpNN, owasp.asiNN, atlas.AML.TNNNN or attack.TNNNN")),
    };
    if known { Ok(()) } else { Err(format!("tag `{tag}`: no such id in the pinned taxonomy; ids are case-sensitive")) }
}

const ATLAS: &str = "
    0000 0000.000 0000.001 0000.002 0001 0002 0002.000 0002.001 0002.002 0003 0004 0005 0005.000 0005.001 0005.002
    0006 0007 0008 0008.000 0008.001 0008.002 0008.003 0008.004 0008.005 0010 0010.000 0010.001 0010.002 0010.003
    0010.004 0010.005 0011 0011.000 0011.001 0011.002 0011.003 0012 0013 0014 0015 0016 0016.000 0016.001 0016.002
    0017 0017.000 0018 0018.000 0018.001 0018.002 0019 0020 0021 0024 0024.000 0024.001 0024.002 0025 0029 0031 0034
    0034.000 0034.001 0034.002 0035 0036 0037 0040 0041 0042 0043 0043.000 0043.001 0043.002 0043.003 0043.004 0044
    0046 0047 0048 0048.000 0048.001 0048.002 0048.003 0048.004 0049 0050 0051 0051.000 0051.001 0051.002 0052
    0052.000 0052.001 0053 0054 0055 0056 0057 0058 0059 0060 0061 0062 0063 0064 0065 0066 0067 0067.000 0068 0069
    0069.000 0069.001 0069.002 0070 0071 0072 0073 0074 0075 0076 0077 0078 0079 0080 0080.000 0080.001 0081 0082
    0083 0084 0084.000 0084.001 0084.002 0084.003 0085 0085.000 0085.001 0086 0087 0088 0089 0090 0091 0091.000 0092
    0093 0094 0095 0095.000 0096 0097 0098 0099 0100 0101 0102 0103 0104 0105 0106 0107 0108 0109 0110 0111 0112
    0112.000 0112.001";

const ATTACK: &str = "
    1001 1003 1005 1007 1008 1010 1011 1012 1014 1016 1018 1020 1021 1025 1027 1029 1030 1033 1036 1037 1039 1040
    1041 1046 1047 1048 1049 1052 1053 1055 1056 1057 1059 1068 1069 1070 1071 1072 1074 1078 1080 1082 1083 1087
    1090 1091 1092 1095 1098 1102 1104 1105 1106 1110 1111 1112 1113 1114 1115 1119 1120 1123 1124 1125 1127 1129
    1132 1133 1134 1135 1136 1137 1140 1176 1185 1187 1189 1190 1195 1197 1199 1200 1201 1202 1203 1204 1205 1207
    1210 1211 1212 1213 1216 1217 1218 1219 1220 1221 1222 1480 1482 1484 1485 1486 1489 1490 1491 1495 1496 1497
    1498 1499 1505 1518 1525 1526 1528 1529 1530 1531 1534 1535 1537 1538 1539 1542 1543 1546 1547 1548 1550 1552
    1553 1554 1555 1556 1557 1558 1559 1560 1561 1562 1563 1564 1565 1566 1567 1568 1569 1570 1571 1572 1573 1574
    1578 1580 1583 1584 1585 1586 1587 1588 1589 1590 1591 1592 1593 1594 1595 1596 1597 1598 1599 1600 1601 1602
    1606 1608 1609 1610 1611 1612 1613 1614 1615 1619 1620 1621 1622 1647 1648 1649 1650 1651 1652 1653 1654 1656
    1657 1659 1665 1666";

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_ids_that_exist_pass() {
        for tag in
            ["owasp.mcp01", "owasp.asi10", "atlas.AML.T0086", "atlas.AML.T0010.005", "attack.T1567", "attack.T1567.002"]
        {
            assert_eq!(check(tag), Ok(()));
        }
        for tag in [
            "owasp.mcp11",
            "owasp.mcp1",
            "owasp.llm01",
            "atlas.T0086",
            "atlas.AML.T9999",
            "attack.t1567",
            "attack.T0001",
            "attack.T1567.2",
            "mcp10",
            "",
        ] {
            assert!(check(tag).is_err(), "{tag}");
        }
    }
}

//! Values with check digits or a fixed length: IBANs, phone numbers, wallets, digests.

use sha2::{Digest as _, Sha256};
use std::ops::Range;

/// Length of an IBAN by country (SWIFT's registry): what is not listed is no IBAN.
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 \
    ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 \
    LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 \
    SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20";

/// The IBAN that starts at `start`, printed in groups or not: its span and its compact form.
pub(crate) fn iban(text: &str, start: usize) -> Option<(Range<usize>, String)> {
    let bytes = text.as_bytes();
    let country = bytes.get(start..start + 2)?;
    let entry = IBAN_LENGTHS.as_bytes().chunks(5).find(|entry| entry.starts_with(country))?;
    let length = usize::from(entry[2] - b'0') * 10 + usize::from(entry[3] - b'0');
    let mut compact = String::with_capacity(length);
    let mut at = start;
    while compact.len() < length {
        match *bytes.get(at)? {
            b @ (b'A'..=b'Z' | b'0'..=b'9') => compact.push(b as char),
            b' ' | b'-' if bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric) => {}
            _ => return None,
        }
        at += 1;
    }
    if bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let rotated = compact.as_bytes()[4..].iter().chain(&compact.as_bytes()[..4]);
    let remainder = rotated.fold(0u32, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        _ => (sum * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    (remainder == 1).then_some((start..at, compact))
}

/// The international phone number whose `+` is at `plus`: its span and its digits with the plus.
pub(crate) fn phone(text: &str, plus: usize) -> Option<(Range<usize>, String)> {
    let bytes = text.as_bytes();
    if plus > 0
        && (bytes[plus - 1].is_ascii_alphanumeric() || matches!(bytes[plus - 1], b'+' | b'/' | b'=' | b'.' | b'_'))
    {
        return None;
    }
    let mut digits = String::from("+");
    let mut end = plus;
    let mut gap = 0;
    for (i, &byte) in bytes.iter().enumerate().skip(plus + 1).take(32) {
        match byte {
            b'0'..=b'9' => {
                digits.push(byte as char);
                end = i + 1;
                gap = 0;
            }
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if gap < 2 && end > plus => gap += 1,
            _ => break,
        }
    }
    let continues = bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
        || (bytes.get(end) == Some(&b':') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit));
    ((9..=16).contains(&digits.len()) && digits.as_bytes()[1] != b'0' && !continues).then_some((plus..end, digits))
}

/// Whether a hexadecimal word is as long as a digest.
pub(crate) fn is_digest(word: &[u8]) -> bool {
    // All letters or all digits of that length is chance or a number.
    matches!(word.len(), 32 | 40 | 64 | 128)
        && word.iter().all(u8::is_ascii_hexdigit)
        && word.iter().any(u8::is_ascii_digit)
        && word.iter().any(u8::is_ascii_alphabetic)
}

/// Whether a word is an address of a wallet: Ethereum, or Bitcoin with a correct checksum.
pub(crate) fn is_wallet(word: &[u8]) -> bool {
    match word {
        [b'0', b'x', rest @ ..] => rest.len() == 40 && rest.iter().all(u8::is_ascii_hexdigit),
        [b'b', b'c', b'1', rest @ ..] => (11..=87).contains(&rest.len()) && bech32(b"bc", rest),
        [b'1' | b'3', ..] => (26..=35).contains(&word.len()) && base58check(word),
        _ => false,
    }
}

/// BIP 173 and BIP 350.
fn bech32(prefix: &[u8], data: &[u8]) -> bool {
    const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let step = |sum: u32, value: u32| {
        let top = sum >> 25;
        let next = (sum & 0x01ff_ffff) << 5 ^ value;
        GENERATORS.iter().enumerate().fold(next, |next, (i, g)| if top >> i & 1 == 1 { next ^ g } else { next })
    };
    let mut sum = prefix.iter().fold(1, |sum, b| step(sum, u32::from(b >> 5)));
    sum = step(sum, 0);
    sum = prefix.iter().fold(sum, |sum, b| step(sum, u32::from(b & 31)));
    for byte in data {
        let Some(value) = CHARSET.iter().position(|c| c == byte) else { return false };
        sum = step(sum, value as u32);
    }
    matches!(sum, 1 | 0x2bc8_30a3)
}

/// Base58 of 21 bytes and the first four of their double SHA-256.
fn base58check(word: &[u8]) -> bool {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut number = [0u8; 25];
    for byte in word {
        let Some(mut carry) = ALPHABET.iter().position(|c| c == byte) else { return false };
        for digit in number.iter_mut().rev() {
            carry += usize::from(*digit) * 58;
            *digit = carry as u8;
            carry >>= 8;
        }
        if carry > 0 {
            return false;
        }
    }
    Sha256::digest(Sha256::digest(&number[..21]))[..4] == number[21..]
}

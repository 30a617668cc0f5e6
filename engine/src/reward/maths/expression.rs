//! Evaluates plain arithmetic: numbers, `+ - * /`, powers, brackets, `\frac`, `\sqrt`, `pi`. Exact as long as it can be.

/// Deepest nesting that is read; deeper text is no number.
const DEEPEST: usize = 32;

/// The value of an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A fraction in lowest terms with a positive denominator.
    Exact {
        /// Numerator.
        over: i128,
        /// Denominator, above 0.
        under: i128,
    },
    /// A decimal that is not exact: roots, pi, overflow.
    Decimal(f64),
}

impl Number {
    fn exact(over: i128, under: i128) -> Option<Self> {
        if under == 0 {
            return None;
        }
        let divisor = gcd(over.unsigned_abs(), under.unsigned_abs()).max(1);
        let sign = if under < 0 { -1 } else { 1 };
        let divisor = i128::try_from(divisor).ok()?;
        Some(Self::Exact { over: sign * over / divisor, under: sign * under / divisor })
    }

    /// The nearest 64-bit float.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Exact { over, under } => over as f64 / under as f64,
            Self::Decimal(value) => value,
        }
    }

    fn combine(
        self,
        other: Self,
        exact: impl Fn(i128, i128, i128, i128) -> Option<(i128, i128)>,
        decimal: impl Fn(f64, f64) -> f64,
    ) -> Option<Self> {
        if let (Self::Exact { over: a, under: b }, Self::Exact { over: c, under: d }) = (self, other)
            && let Some((over, under)) = exact(a, b, c, d)
        {
            return Self::exact(over, under);
        }
        Some(decimal(self.to_f64(), other.to_f64())).filter(|value| value.is_finite()).map(Self::Decimal)
    }

    fn add(self, other: Self) -> Option<Self> {
        let exact = |a: i128, b: i128, c: i128, d: i128| {
            Some((a.checked_mul(d)?.checked_add(c.checked_mul(b)?)?, b.checked_mul(d)?))
        };
        self.combine(other, exact, |a, b| a + b)
    }

    fn multiply(self, other: Self) -> Option<Self> {
        self.combine(other, |a, b, c, d| Some((a.checked_mul(c)?, b.checked_mul(d)?)), |a, b| a * b)
    }

    fn divide(self, other: Self) -> Option<Self> {
        self.combine(other, |a, b, c, d| Some((a.checked_mul(d)?, b.checked_mul(c)?)), |a, b| a / b)
    }

    fn power(self, other: Self) -> Option<Self> {
        let exact = |a: i128, b: i128, c: i128, d: i128| {
            let exponent = u32::try_from(c.unsigned_abs()).ok().filter(|_| d == 1)?;
            let (over, under) = (a.checked_pow(exponent)?, b.checked_pow(exponent)?);
            Some(if c < 0 { (under, over) } else { (over, under) })
        };
        self.combine(other, exact, f64::powf)
    }

    fn square_root(self) -> Option<Self> {
        if let Self::Exact { over, under } = self
            && let (Some(over), Some(under)) = (whole_root(over), whole_root(under))
        {
            return Self::exact(over, under);
        }
        Some(self.to_f64().sqrt()).filter(|root| root.is_finite()).map(Self::Decimal)
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn whole_root(value: i128) -> Option<i128> {
    let root = (value as f64).sqrt().round() as i128;
    (value >= 0 && root.checked_mul(root) == Some(value)).then_some(root)
}

/// The value of simplified text, or `None` where it is no plain arithmetic.
///
/// ```
/// use marft_engine::reward::maths::expression::evaluate;
/// assert_eq!(evaluate(r"\frac{1}{2}+1").map(|n| n.to_f64()), Some(1.5));
/// assert_eq!(evaluate("x+1"), None);
/// ```
pub fn evaluate(text: &str) -> Option<Number> {
    let mut reader = Reader { text, depth: 0 };
    let value = reader.sum()?;
    reader.text.is_empty().then_some(value)
}

/// A recursive-descent reader; `depth` keeps hostile nesting off the stack.
struct Reader<'a> {
    text: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        let found = self.text.strip_prefix(token);
        self.text = found.unwrap_or(self.text);
        found.is_some()
    }

    fn sum(&mut self) -> Option<Number> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut value = self.product()?;
        loop {
            if self.take("+") {
                value = value.add(self.product()?)?;
            } else if self.take("-") {
                value = value.add(self.product()?.multiply(Number::Exact { over: -1, under: 1 })?)?;
            } else {
                self.depth -= 1;
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<Number> {
        let mut value = self.signed()?;
        loop {
            if self.take("*") {
                value = value.multiply(self.signed()?)?;
            } else if self.take("/") {
                value = value.divide(self.signed()?)?;
            } else if self.text.starts_with(['(', '\\']) || self.text.starts_with("pi") {
                // 2\sqrt{3}, 3(4), 2pi: a product without a sign
                value = value.multiply(self.power()?)?;
            } else {
                return Some(value);
            }
        }
    }

    fn signed(&mut self) -> Option<Number> {
        let mut sign = 1;
        loop {
            if self.take("-") {
                sign = -sign;
            } else if !self.take("+") {
                return self.power()?.multiply(Number::Exact { over: sign, under: 1 });
            }
        }
    }

    fn power(&mut self) -> Option<Number> {
        let base = self.atom()?;
        if !self.take("^") {
            return Some(base);
        }
        let exponent = self.argument()?;
        base.power(exponent)
    }

    fn atom(&mut self) -> Option<Number> {
        if self.take("(") {
            let value = self.sum()?;
            return self.take(")").then_some(value);
        }
        if self.take("pi") {
            return Some(Number::Decimal(std::f64::consts::PI));
        }
        if self.take("\\frac") {
            let over = self.argument()?;
            return over.divide(self.argument()?);
        }
        if self.take("\\sqrt") {
            return self.argument()?.square_root();
        }
        self.number()
    }

    /// `{…}`, or the single digit that TeX takes where there are no braces: `\frac12`.
    fn argument(&mut self) -> Option<Number> {
        if self.take("{") {
            let value = self.sum()?;
            return self.take("}").then_some(value);
        }
        if self.text.starts_with('-') {
            return self.signed();
        }
        let digit = self.text.chars().next()?.to_digit(10)?;
        self.text = &self.text[1..];
        Number::exact(i128::from(digit), 1)
    }

    fn number(&mut self) -> Option<Number> {
        let length = self.text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (spelled, rest) = self.text.split_at(length);
        let (whole, fraction) = spelled.split_once('.').unwrap_or((spelled, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        self.text = rest;
        let digits: Option<i128> = format!("0{whole}{fraction}").parse().ok();
        let scale = u32::try_from(fraction.len()).ok().and_then(|places| 10_i128.checked_pow(places));
        match (digits, scale) {
            (Some(digits), Some(scale)) => Number::exact(digits, scale),
            _ => spelled.parse().ok().map(Number::Decimal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<f64> {
        evaluate(text).map(Number::to_f64)
    }

    #[test]
    fn arithmetic() {
        assert_eq!(evaluate("1/3+1/6"), Some(Number::Exact { over: 1, under: 2 }));
        assert_eq!(value("2*(3+4)-5"), Some(9.0));
        assert_eq!(value("--3"), Some(3.0));
        assert_eq!(value("2^{10}"), Some(1024.0));
        assert_eq!(value("2^-1"), Some(0.5));
        assert_eq!(value(r"\sqrt{\frac{4}{9}}"), Some(2.0 / 3.0));
        assert_eq!(value(r"\frac12"), Some(0.5));
        assert_eq!(value("0.1"), Some(0.1));
        assert_eq!(value("2pi"), Some(2.0 * std::f64::consts::PI));
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", "x", "1+", "(1", "1/0", "1.2.3", ".", r"\frac{1}", "1 2", "e5", "9^{9^9}9"] {
            assert_eq!(evaluate(text), None, "{text}");
        }
        assert_eq!(evaluate(&"(".repeat(10_000)), None);
        assert_eq!(evaluate(&format!("2^{}", "{2^".repeat(10_000))), None);
    }

    #[test]
    fn overflow_becomes_decimal_or_nothing() {
        assert!(matches!(evaluate("10^{30}*10^{30}"), None | Some(Number::Decimal(_))));
        assert_eq!(value(&format!("1{}", "0".repeat(50))), Some(1e50));
    }
}

package evidence

import "strings"

// creditAlphabet holds the 31 characters of GB 32100-2015, in the order of their values.
const creditAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// ValidCreditCode reports whether code is a well-formed unified social credit code (统一社会信用代码): 18 characters of
// GB 32100-2015 of which the third to eighth are digits and the last is the right check character.
func ValidCreditCode(code string) bool {
	if len(code) != 18 {
		return false
	}
	sum, weight := 0, 1
	for i := range 17 {
		v := strings.IndexByte(creditAlphabet, code[i])
		if v < 0 || i >= 2 && i < 8 && v > 9 {
			return false
		}
		sum += v * weight
		weight = weight * 3 % 31
	}
	return code[17] == creditAlphabet[(31-sum%31)%31]
}

package evidence

import "strings"

// readme returns the walk-through that lies in a bundle: how to check it with stock tools. A test runs its commands.
func readme(s *Statement, b *Bundle, withOriginal bool) string {
	original, digest, number := "ORIGINAL", "-", s.Number
	if withOriginal {
		original = shellQuote(b.contentName())
	}
	if s.Content != nil {
		digest = s.Content.SM3.String()
	}
	if number == "" {
		number = "-"
	}
	return strings.NewReplacer(
		"{number}", number,
		"{log}", s.Log,
		"{sm3}", digest,
		"{leaf}", b.Receipt.Leaf.String(),
		"{original}", original,
	).Replace(readmeText)
}

// shellQuote quotes a text for a POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

const readmeText = `存证包说明
==========

存证编号：{number}
日志：{log}

这个文件包证明：具有下列杂凑值的数据在接收时间之前已经存在，此后未被改动。
它不证明数据内容的真实性、合法性，也不是公证书。

一、用核验程序
  cunzheng-verify --trust 信任文件 本文件包
  信任文件（trust.json）须从存证机构另行取得；包内的 trust.json 仅供参考，不能作为信任依据。

二、不用核验程序，只用 unzip 与 OpenSSL 3（命令见下方英文部分，逐条可执行）
  1. 原文的 SM3 应为 {sm3}
  2. manifest.json 列出每个文件的 SM3，逐一比对
  3. 从信任文件取出回执公钥（编号见 manifest.json 的 key），其 SM3 应与编号相同
  4. 验证清单签名：应显示 Signature Verified Successfully
  5. 验证回执签名：同上
  6. 记录的叶杂凑应为 {leaf}
  默克尔证明与上链区块的核验方法见格式说明 docs/formats.md。


How to check this bundle
========================

Evidence number: {number}
Log: {log}

This bundle proves that data with the digest below existed before the time of receipt and was not changed since.
It does not prove that the content is true or lawful, and it is not a notarial certificate.

With the verifier:
  cunzheng-verify --trust TRUST-FILE THIS-BUNDLE
Obtain the trust file from the office on another way. The trust.json inside this bundle is for information only.

Without it: unpack the bundle into an empty folder, go there, and set TRUST to the path of the trust file.

1. Digest of the original; must print {sm3}

    openssl dgst -sm3 -r {original}

2. Digests of the files; compare with META-INF/manifest.json

    openssl dgst -sm3 -r *.json *.txt

3. The receipt key, from the trust file; the digest printed last must be the name of the key printed first

    key=$(sed 's/.*"key":"\([0-9a-f]*\)".*/\1/' META-INF/manifest.json); echo "$key"
    grep -o "\"id\":\"$key\".*" "$TRUST" | grep -o '"spki":"[^"]*"' | head -n 1 | cut -d '"' -f 4 | base64 -d > /tmp/receipt-key.der
    openssl pkey -pubin -inform DER -in /tmp/receipt-key.der -out /tmp/receipt-key.pem
    openssl dgst -sm3 -r /tmp/receipt-key.der

4. Signature of the list of files

    { printf 'cunzheng/manifest/v1\n'; cat META-INF/manifest.json; } > /tmp/manifest.msg
    openssl pkeyutl -verify -pubin -inkey /tmp/receipt-key.pem -rawin -digest sm3 -pkeyopt distid:1234567812345678 -in /tmp/manifest.msg -sigfile META-INF/manifest.sig

5. Signature of the receipt. If receipt.json names another key than the list of files, repeat step 3 with that name

    grep -o '"signature":"[^"]*"' receipt.json | cut -d '"' -f 4 | base64 -d > /tmp/receipt.sig
    { printf 'cunzheng/receipt/v1\n'; sed 's/"signature":"[^"]*",//' receipt.json; } > /tmp/receipt.msg
    openssl pkeyutl -verify -pubin -inkey /tmp/receipt-key.pem -rawin -digest sm3 -pkeyopt distid:1234567812345678 -in /tmp/receipt.msg -sigfile /tmp/receipt.sig

6. Leaf hash of the record in the log; must print {leaf}

    { printf '\000'; cat statement.json; } | openssl dgst -sm3 -r

The Merkle proof and the ledger's block are specified in docs/formats.md.
`

import { describe, expect, it } from 'vitest';
import { checkLiteralAddress, checkUrl, parsePrefix, shownUrl } from '../../../src/net/download-url.ts';
import { isPublicAddress } from '../../../src/net/public-address.ts';

const prefixes = ['https://files.example/images', 'https://[2606:4700::1111]:8443/', 'https://other.example'].map(
  parsePrefix,
);

describe('checkUrl', () => {
  it.each([
    ['https://files.example/images/base.stream', 'https://files.example/images/base.stream'],
    ['https://files.example/images', 'https://files.example/images'],
    ['https://files.example/images/', 'https://files.example/images/'],
    ['https://files.example:443/images/a?token=x', 'https://files.example/images/a?token=x'],
    ['https://FILES.example/images/a', 'https://files.example/images/a'],
    ['https://files.example/x/../images/a', 'https://files.example/images/a'],
    ['https://files.example/images/a/%2e%2e/b', 'https://files.example/images/b'],
    ['https://files.example/images/a%20b', 'https://files.example/images/a%20b'],
    ['https://files.example/images/..a/b..', 'https://files.example/images/..a/b..'],
    ['https://[2606:4700:0::1111]:8443/any', 'https://[2606:4700::1111]:8443/any'],
    ['https://other.example', 'https://other.example/'],
  ])('checkUrl: takes %s', (text, href) => expect(checkUrl(text, prefixes).href).toBe(href));

  it.each([
    ['http://files.example/images/a', 'is not https'],
    ['ftp://files.example/images/a', 'is not https'],
    ['file:///etc/passwd', 'is not https'],
    ['data:text/plain,x', 'is not https'],
    ['javascript:alert(1)', 'is not https'],
    ['//files.example/images/a', 'it is no URL'],
    ['/images/a', 'it is no URL'],
    ['', 'it is no URL'],
    ['https://', 'it is no URL'],
    ['https://files.example:99999/images/a', 'it is no URL'],
    ['https://files.example%2f@evil.example/images/a', 'a user or a password'],
    ['https://user@files.example/images/a', 'a user or a password'],
    ['https://:pass@files.example/images/a', 'a user or a password'],
    ['https://files.example@evil.example/images/a', 'a user or a password'],
    ['https://files.example/imagesx', 'is under none'],
    ['https://files.example/image', 'is under none'],
    ['https://files.example/IMAGES/a', 'is under none'],
    ['https://files.example/', 'is under none'],
    ['https://files.example/images/../secret', 'is under none'],
    ['https://files.example/images/%2e%2e/secret', 'is under none'],
    ['https://files.example/images/.%2E/secret', 'is under none'],
    ['https://files.example/images\\..\\secret', 'is under none'],
    ['https://files.example\\@evil.example/images/a', 'is under none'],
    ['https://files.example/images/..%2fsecret', 'encoded slashes'],
    ['https://files.example/images/%2e%2e%2fsecret', 'encoded slashes'],
    ['https://files.example/images/..%5csecret', 'encoded slashes'],
    ['https://files.example/images/%252e%252e%252fsecret', 'encoded slashes'],
    ['https://files.example/images/..;/secret', 'encoded slashes'],
    ['https://files.example/images/a%00.stream', 'encoded slashes'],
    ['https://files.example/images/a%0d%0aHost:x', 'encoded slashes'],
    ['https://files.example./images/a', 'is under none'],
    ['https://files.example:8443/images/a', 'is under none'],
    ['https://files.example.evil.example/images/a', 'is under none'],
    ['https://evil.example/images/a#files.example', 'is under none'],
    ['https://evil.example?https://files.example/images/a', 'is under none'],
    ['https://[2606:4700::1111]/any', 'is under none'],
  ])('checkUrl: refuses %s', (text, message) => {
    expect(() => checkUrl(text, prefixes)).toThrow(
      expect.objectContaining({ code: 'refused', message: expect.stringContaining(message) }),
    );
  });

  it('checkUrl: allows nothing without a prefix, and says who can change that', () => {
    expect(() => checkUrl('https://files.example/', [])).toThrow(/ask its administrator.*--download-allowed-prefixes/);
  });

  it.each(['https://u5er:s3cret@evil.example/a?s3cret#s3cret', 'https://evil.example/a?s3cret=1', 'mailto:s3cret@x'])(
    'checkUrl: shows nothing secret of %s',
    (text) =>
      expect(() => checkUrl(text, prefixes)).toThrow(
        expect.objectContaining({ message: expect.not.stringMatching(/s3cret|u5er/) }),
      ),
  );

  it('shownUrl: is bounded', () => {
    expect(shownUrl(new URL(`https://a.example/${'x'.repeat(5000)}?y`)).length).toBeLessThan(300);
  });
});

describe('parsePrefix', () => {
  it.each([
    'http://files.example/',
    'files.example',
    'https://u@files.example/',
    'https://files.example/?',
    'https://files.example/a?b',
    'https://files.example/#',
    'https://files.example/a b',
    'https://files.example\\a',
    'https://files.example/a%2fb',
    'https://*.example/%zz%2e',
    '',
  ])('parsePrefix: refuses %j', (text) => expect(() => parsePrefix(text)).toThrow(TypeError));
});

const outside = [
  '1.1.1.1',
  '8.8.8.8',
  '172.15.255.255',
  '172.32.0.1',
  '100.63.255.255',
  '100.128.0.1',
  '169.253.1.1',
  '2606:4700::1111',
  '2a00:1450:4001::1',
];
const inside = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::8.8.8.8',
  '::ffff:8.8.8.8',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::ffff:0:8.8.8.8',
  '64:ff9b::8.8.8.8',
  '64:ff9b::7f00:1',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '2002:7f00:1::1',
  '2002:808:808::1',
  '3fff::1',
  '4000::1',
  'fc00::1',
  'fd12:3456:789a::1',
  'fe80::1',
  'fe80::1%eth0',
  'fec0::1',
  'ff02::1',
];
// What some programs read as an address and others don't.
const doubtful = [
  '127.1',
  '0x7f.0.0.1',
  '0177.0.0.1',
  '8.8.8.010',
  '2130706433',
  '8.8.8',
  '1.1.1.1 ',
  '[2606:4700::1111]',
  'localhost',
  '',
];

describe('isPublicAddress', () => {
  it.each(outside)('isPublicAddress: %s is', (address) => expect(isPublicAddress(address)).toBe(true));
  it.each([...inside, ...doubtful])('isPublicAddress: %j is not', (address) =>
    expect(isPublicAddress(address)).toBe(false),
  );
});

describe('checkLiteralAddress', () => {
  it.each([
    'https://127.0.0.1/',
    'https://127.1/',
    'https://0x7f.1/',
    'https://0177.0.0.1/',
    'https://2130706433/',
    'https://0/',
    'https://127.0.0.1./',
    'https://①②⑦.⓪.⓪.①/',
    'https://169.254.169.254/',
    'https://[::1]/',
    'https://[::]/',
    'https://[::ffff:10.0.0.1]/',
    'https://[0:0:0:0:0:ffff:0a00:1]/',
    'https://[64:ff9b::a00:1]/',
    'https://[fd00::1]/',
    'https://[fe80::1]/',
  ])('checkLiteralAddress: refuses %s', (text) => {
    expect(() => checkLiteralAddress(new URL(text))).toThrow(
      /no address of the public Internet; ask the administrator/,
    );
  });

  it.each(['https://1.1.1.1/', 'https://[2606:4700::1111]/', 'https://files.example/'])(
    'checkLiteralAddress: has nothing against %s',
    (text) => expect(() => checkLiteralAddress(new URL(text))).not.toThrow(),
  );
});

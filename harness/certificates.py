"""Certificates for as long as a test runs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Files:
    """What a TLS server needs."""

    certificate: Path
    key: Path


class Authority:
    """Vouches for servers. `root` is the file by which others know it."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        certificate = _certificate(self._name, self._name, self._key.public_key(), ca=True)
        self.root = folder / f"{name}.crt"
        self.root.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))

    def server(self, host: str) -> Files:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(_name(host), self._name, key.public_key(), ca=False).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
        )
        files = Files(self._folder / f"{host}.crt", self._folder / f"{host}.key")
        files.certificate.write_bytes(_pem(certificate.sign(self._key, hashes.SHA256())))
        files.key.touch(mode=0o600)
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )

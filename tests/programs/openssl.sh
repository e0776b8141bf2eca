# Makes a key, signs a file, verifies the signature.
echo message > message
$RUN openssl genpkey -algorithm ed25519 -out key.pem
$RUN openssl pkey -in key.pem -pubout -out public.pem
$RUN openssl pkeyutl -sign -inkey key.pem -rawin -in message -out signature
$RUN openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in message -sigfile signature

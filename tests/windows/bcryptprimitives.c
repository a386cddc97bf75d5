/* Wine 8 has no bcryptprimitives.dll, where Rust's standard library finds its random bytes. For tests only. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE place, SIZE_T left) {
  while (left) {
    ULONG piece = left > 0x10000000 ? 0x10000000 : (ULONG)left;
    if (!SystemFunction036(place, piece)) return FALSE;
    place += piece;
    left -= piece;
  }
  return TRUE;
}

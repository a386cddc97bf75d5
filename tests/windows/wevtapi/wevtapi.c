/* A double of Windows' event log library: serves the events of a script, and fails where the script says so.
   It lies beside the program under test as wevtapi.dll; WEVTAPI_SCRIPT names the script, which is read anew by every
   EvtSubscribe and EvtNext, so that a test adds events by adding lines. Fields of a line are parted by tabs:

     event    CHANNEL  RECORD-ID  PUBLISHER  XML      one event; events of a channel stand in their order
     message  PUBLISHER  EVENT-ID  TEXT               what EvtFormatMessage says; "!CODE text" fails with that code
     publisher NAME                                   exists, without messages
     fail     CHANNEL  query|subscribe|next|render  CODE  COUNT    the first COUNT such calls of this process fail
     most     CHANNEL  N                              EvtNext fails with 1734 when more than N events are asked for

   Queries: anything that begins with "*"; EventID=N selects. What the real service does beside that is not here. */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define EXPORT __declspec(dllexport)
#define LONGEST (20 * 1024 * 1024)
enum kind { SUBSCRIPTION = 0x51, EVENT, BOOKMARK, PUBLISHER };

typedef struct {
  enum kind kind;
  WCHAR channel[256];
  WCHAR name[256];              /* a publisher's */
  int selected;                 /* of a query: EventID, or -1 */
  unsigned long long last;      /* the record that was given last, or the one a bookmark is behind */
  int newest;                   /* a query: gives the newest event, and then none */
  WCHAR *xml;
} object;

static LONG open_handles;
static LONG failed[3][16];      /* by call and line of the script */

static HANDLE made(enum kind kind) {
  object *o = calloc(1, sizeof *o);
  o->kind = kind;
  o->selected = -1;
  InterlockedIncrement(&open_handles);
  return o;
}

static object *of(void *handle, enum kind kind) {
  object *o = handle;
  if (!o || o->kind != kind) { fprintf(stderr, "wevtapi double: a handle of another kind\n"); abort(); }
  return o;
}

EXPORT DWORD WINAPI WevtapiDoubleOpenHandles(void) { return (DWORD)open_handles; }

EXPORT BOOL WINAPI EvtClose(void *handle) {
  object *o = handle;
  if (!o || o->kind < SUBSCRIPTION || o->kind > PUBLISHER) { fprintf(stderr, "wevtapi double: closed twice\n"); abort(); }
  o->kind = 0;
  free(o->xml);
  free(o);
  InterlockedDecrement(&open_handles);
  return TRUE;
}

static char *script(void) {
  char path[MAX_PATH];
  if (!GetEnvironmentVariableA("WEVTAPI_SCRIPT", path, sizeof path)) return NULL;
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  char *text = malloc(LONGEST + 1);
  size_t length = fread(text, 1, LONGEST, file);
  fclose(file);
  text[length] = 0;
  return text;
}

/* Cuts the next line into fields; returns how many there are, 0 at the end. A line without its end is not there yet. */
static int line(char **rest, char *field[5]) {
  for (;;) {
    char *end = strchr(*rest, '\n');
    if (!end) return 0;
    char *at = *rest;
    *rest = end + 1;
    *end = 0;
    if (end > at && end[-1] == '\r') end[-1] = 0;
    if (!*at || *at == '#') continue;
    int count = 0;
    while (count < 5) {
      field[count++] = at;
      char *tab = count < 5 ? strchr(at, '\t') : NULL;
      if (!tab) break;
      *tab = 0;
      at = tab + 1;
    }
    return count;
  }
}

static WCHAR *wide(const char *text) {
  int units = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
  WCHAR *out = malloc((units + 1) * sizeof *out);
  MultiByteToWideChar(CP_UTF8, 0, text, -1, out, units);
  return out;
}

static int is(const char *text, const WCHAR *name) {
  WCHAR *other = wide(text);
  int same = !_wcsicmp(other, name);
  free(other);
  return same;
}

/* Returns whether a call is to fail now, and with what. */
static int fails(const WCHAR *channel, int call, const char *word) {
  char *text = script(), *rest = text, *field[5];
  int count, number = 0, code = 0;
  while (text && (count = line(&rest, field))) {
    number++;
    if (count != 5 || strcmp(field[0], "fail") || strcmp(field[2], word) || !is(field[1], channel)) continue;
    if (InterlockedIncrement(&failed[call][number % 16]) <= atoi(field[4])) { code = atoi(field[3]); break; }
  }
  free(text);
  return code;
}

static int selects(const object *subscription, const char *xml) {
  char id[64];
  if (subscription->selected < 0) return 1;
  sprintf(id, ">%d</EventID>", subscription->selected);
  return strstr(xml, id) != NULL;
}

/* Finds the first event of a channel behind a record; with `exact`, that record itself. */
static object *find(const object *subscription, unsigned long long record, int exact, int *known) {
  char *text = script(), *rest = text, *field[5];
  object *event = NULL;
  int count;
  *known = 0;
  while (text && (count = line(&rest, field))) {
    if (count < 5 || strcmp(field[0], "event") || !is(field[1], subscription->channel)) continue;
    *known = 1;
    unsigned long long id = strtoull(field[2], NULL, 10);
    if (exact ? id != record : id <= record) continue;
    if (!exact && !selects(subscription, field[4])) continue;
    event = made(EVENT);
    wcscpy(event->channel, subscription->channel);
    event->last = id;
    event->xml = wide(field[4]);
    break;
  }
  free(text);
  return event;
}

/* A channel is there when any line names it. */
static int channel_exists(const WCHAR *channel) {
  char *text = script(), *rest = text, *field[5];
  int count, found = 0;
  while (text && (count = line(&rest, field)))
    if (count > 1 && strcmp(field[0], "message") && strcmp(field[0], "publisher") && is(field[1], channel)) found = 1;
  free(text);
  return found;
}

EXPORT void *WINAPI EvtSubscribe(void *session, HANDLE signal, LPCWSTR channel, LPCWSTR query, void *bookmark,
                                 void *context, void *callback, DWORD flags) {
  (void)session; (void)context;
  if (callback || !signal || !channel || !query) { SetLastError(ERROR_INVALID_PARAMETER); return NULL; }
  int code = fails(channel, 0, "subscribe");
  if (!code && !channel_exists(channel)) code = 15007;
  if (!code && query[0] != L'*') code = 15001;
  if (code) { SetLastError(code); return NULL; }
  object *subscription = made(SUBSCRIPTION);
  int known;
  wcsncpy(subscription->channel, channel, 255);
  const WCHAR *id = wcsstr(query, L"EventID=");
  if (id) subscription->selected = _wtoi(id + 8);
  DWORD origin = flags & 3;
  if (origin == 3) {
    subscription->last = of(bookmark, BOOKMARK)->last;
    object *event = find(subscription, subscription->last, 1, &known);
    if (event) EvtClose(event);
    else if (flags & 0x10000) { EvtClose(subscription); SetLastError(ERROR_NOT_FOUND); return NULL; }
  } else if (origin == 1) {
    object *event;
    while ((event = find(subscription, subscription->last, 0, &known))) { subscription->last = event->last; EvtClose(event); }
  }
  SetEvent(signal);
  return subscription;
}

EXPORT void *WINAPI EvtQuery(void *session, LPCWSTR channel, LPCWSTR query, DWORD flags) {
  (void)session;
  if (!channel || !query || flags != 0x201) { SetLastError(ERROR_INVALID_PARAMETER); return NULL; }
  int code = fails(channel, 0, "query");
  if (!code && !channel_exists(channel)) code = 15007;
  if (!code && query[0] != L'*') code = 15001;
  if (code) { SetLastError(code); return NULL; }
  object *found = made(SUBSCRIPTION);
  wcsncpy(found->channel, channel, 255);
  const WCHAR *id = wcsstr(query, L"EventID=");
  if (id) found->selected = _wtoi(id + 8);
  found->newest = 1;
  return found;
}

EXPORT BOOL WINAPI EvtNext(void *handle, DWORD size, void **events, DWORD timeout, DWORD flags, DWORD *returned) {
  (void)timeout; (void)flags;
  object *subscription = of(handle, SUBSCRIPTION);
  int code = fails(subscription->channel, 1, "next"), known;
  char *text = script(), *rest = text, *field[5];
  int count;
  while (!code && text && (count = line(&rest, field)))
    if (count >= 3 && !strcmp(field[0], "most") && is(field[1], subscription->channel) && size > (DWORD)atoi(field[2]))
      code = 1734;
  free(text);
  *returned = 0;
  if (code) { SetLastError(code); return FALSE; }
  while (*returned < size) {
    object *event = find(subscription, subscription->last, 0, &known);
    if (!event) break;
    if (subscription->newest) {
      object *behind;
      while ((behind = find(subscription, event->last, 0, &known))) { EvtClose(event); event = behind; }
    }
    subscription->last = event->last;
    events[(*returned)++] = event;
  }
  if (!*returned) { SetLastError(ERROR_NO_MORE_ITEMS); return FALSE; }
  return TRUE;
}

static BOOL give(const WCHAR *text, DWORD size, void *buffer, DWORD *used) {
  *used = (DWORD)((wcslen(text) + 1) * sizeof(WCHAR));
  if (*used > size) { SetLastError(ERROR_INSUFFICIENT_BUFFER); return FALSE; }
  memcpy(buffer, text, *used);
  return TRUE;
}

EXPORT BOOL WINAPI EvtRender(void *context, void *fragment, DWORD flags, DWORD size, void *buffer, DWORD *used, DWORD *count) {
  (void)context;
  *count = 0;
  if (flags == 2) {
    object *bookmark = of(fragment, BOOKMARK);
    WCHAR text[512];
    swprintf(text, 512, L"<BookmarkList>\r\n  <Bookmark Channel='%ls' RecordId='%llu' IsCurrent='true'/>\r\n</BookmarkList>",
             bookmark->channel, bookmark->last);
    return give(text, size, buffer, used);
  }
  object *event = of(fragment, EVENT);
  int code = fails(event->channel, 2, "render");
  if (code) { SetLastError(code); return FALSE; }
  return give(event->xml, size, buffer, used);
}

EXPORT void *WINAPI EvtCreateBookmark(LPCWSTR xml) {
  object *bookmark = made(BOOKMARK);
  if (!xml) return bookmark;
  const WCHAR *channel = wcsstr(xml, L"Channel='"), *record = wcsstr(xml, L"RecordId='");
  if (!channel || !record) { EvtClose(bookmark); SetLastError(15008); return NULL; }
  channel += 9;
  for (int at = 0; at < 255 && channel[at] && channel[at] != L'\''; at++) bookmark->channel[at] = channel[at];
  bookmark->last = wcstoull(record + 10, NULL, 10);
  return bookmark;
}

EXPORT BOOL WINAPI EvtUpdateBookmark(void *handle, void *event) {
  object *bookmark = of(handle, BOOKMARK);
  wcscpy(bookmark->channel, of(event, EVENT)->channel);
  bookmark->last = of(event, EVENT)->last;
  return TRUE;
}

EXPORT void *WINAPI EvtOpenPublisherMetadata(void *session, LPCWSTR name, LPCWSTR file, DWORD locale, DWORD flags) {
  (void)session; (void)file; (void)locale; (void)flags;
  char *text = script(), *rest = text, *field[5];
  int count, found = 0;
  while (text && (count = line(&rest, field)))
    if (count > 1 && (!strcmp(field[0], "message") || !strcmp(field[0], "publisher")) && is(field[1], name)) found = 1;
  free(text);
  if (!found) { SetLastError(15002); return NULL; }
  object *publisher = made(PUBLISHER);
  wcsncpy(publisher->name, name, 255);
  return publisher;
}

EXPORT BOOL WINAPI EvtFormatMessage(void *handle, void *event, DWORD id, DWORD values, void *with, DWORD flags, DWORD size,
                                    LPWSTR buffer, DWORD *used) {
  (void)id; (void)values; (void)with;
  object *publisher = of(handle, PUBLISHER);
  WCHAR *xml = of(event, EVENT)->xml, *at = wcsstr(xml, L"</EventID>");
  char *text = script(), *rest = text, *field[5];
  int count, number = 0, code = 15027;
  if (flags != 1) abort();
  while (at && at > xml && at[-1] >= L'0' && at[-1] <= L'9') at--;
  if (at) number = _wtoi(at);
  BOOL success = FALSE;
  *used = 0;
  while (text && (count = line(&rest, field))) {
    if (count < 4 || strcmp(field[0], "message") || !is(field[1], publisher->name) || atoi(field[2]) != number) continue;
    char *words = field[3];
    code = 0;
    if (*words == '!') { code = strtol(words + 1, &words, 10); while (*words == ' ') words++; }
    WCHAR *message = wide(words);
    success = give(message, size * sizeof(WCHAR), buffer, used);
    *used /= sizeof(WCHAR);
    free(message);
    if (success && code) { SetLastError(code); success = FALSE; }
    free(text);
    return success;
  }
  free(text);
  SetLastError(code);
  return FALSE;
}

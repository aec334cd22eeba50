"""What hostile visitors ask for, and what each must be answered with: 400, or a harmless 200."""

from urllib.parse import urlencode

NUMBERS = "with recursive n(i) as (select 1 union all select i + 1 from n)"
MANY_A = "printf('%.*c', 4000000, 'a')"
DOUBLED = "with a0(x) as (select 1), " + ", ".join(
    f"a{i}(x) as (select x from a{i - 1} union all select x from a{i - 1})" for i in range(1, 40)
)

ENDLESS = {
    "count": f"{NUMBERS} select count(*) from n",
    "sort": f"{NUMBERS} select i from n order by abs(i - 5)",
    "sort of texts": f"{NUMBERS} select printf('%01000d', i) from n order by 1 desc",
    "window": f"{NUMBERS} select sum(i) over (order by i) from n",
    "distinct": f"{NUMBERS} select count(distinct i) from n",
    "group_concat": f"{NUMBERS} select group_concat(i) from n",
    "json_group_array": f"{NUMBERS} select json_group_array(i) from n",
    "cross join": "select count(*) from papers a, papers b, papers c, papers d",
    "cross join of texts": "select max(a.abstract || b.abstract || c.title)"
    " from papers a, papers b, papers c",
    "64 joins": "select count(*) from " + ", ".join(f"papers t{i}" for i in range(64)),
    "instr": f"select instr({MANY_A}, substr({MANY_A}, 2000000) || 'b')",
    "replace": f"select replace({MANY_A}, substr({MANY_A}, 2000000) || 'b', 'c')",
    "trim": f"select ltrim({MANY_A}, printf('%.*c', 500000, 'b') || 'a')",
    "hex in rows": f"{NUMBERS} select sum(length(hex(zeroblob(4000000)))) from n",
    "like in rows": f"{NUMBERS} select sum({MANY_A} like '%a%a%a%a%a%ab') from n",
    "glob": f"{NUMBERS} select sum({MANY_A} glob '*[b-z]a*[b-z]') from n",
    "json_patch": f"{NUMBERS}, o as (select json_group_object('k' || i, i) as j from"
    " (select i from n limit 100000)) select length(json_patch(a.j, b.j)) from o a, o b",
    "json_each": "select count(*) from json_each('[' || replace(hex(zeroblob(1000000)), '0', '1,')"
    " || '1]') a, json_each('[1,2,3,4,5,6,7,8,9]') b, papers",
    "json_tree": "select max(a.fullkey) from json_tree(replace(hex(zeroblob(400)), '0', '[')"
    " || replace(hex(zeroblob(400)), '0', ']')) a, json_each('[1,2,3]') b, papers, papers c",
    "fts terms": f"{NUMBERS} select count(*) from papers_fts where papers_fts match (select"
    " group_concat(char(97 + i % 26, 97 + i / 26 % 26) || '*', ' OR ')"
    " from (select i from n limit 400000))",
    "doubling selects": f"{DOUBLED} select count(*) from a39",
    "search in rows": f"{NUMBERS} select max(search_papers('model ' || i, '', '', '', '', 1))"
    " from n",
}
"""Statements that would run for a minute, or for ever; some of them inside of one function."""

REFUSED = {
    "zeroblob": "select zeroblob(1e9)",
    "zeroblob in between": "select length(zeroblob(1e9))",
    "randomblob": "select length(randomblob(1e9))",
    "replace of hex": "select length(replace(hex(zeroblob(1e8)), '00', '0123456789'))",
    "replace of hex, smaller": "select length(replace(hex(zeroblob(4000000)), '00', '0123456789'))",
    "printf": "select printf('%.*c', 1e9, 'x')",
    "long like": "select title like '" + "%a" * 6_000 + "' from papers",
    "long glob": "select title glob '" + "*a" * 6_000 + "' from papers",
    "deep expression": "select " + "(" * 5_000 + "1" + ")" * 5_000,
    "deep sum": "select " + "+".join(["1"] * 5_000),
    "many selects": " union all ".join(["select 1"] * 600),
    "many columns": "select " + ",".join(["1"] * 3_000),
    "many cases": "select case " + "when 1 then 2 " * 1_100 + "end + " * 2 + "1",
    "deep select": "select * from (" * 300 + "select 1" + ")" * 300,
    "large cells": "select " + ",".join(f"zeroblob(9000000 + {i})" for i in range(50)),
    "attach": "attach ':memory:' as other",
    "attach after": "select 1; attach ':memory:' as other",
    "load_extension": "select load_extension('libc.so.6')",
    "fts3_tokenizer": "select fts3_tokenizer('simple')",
    "readfile": "select readfile('/etc/passwd')",
    "writefile": "select writefile('/tmp/x', 'x')",
    "edit": "select edit('x')",
    "regexp": "select 'a' regexp 'a'",
    "pragma": "pragma hard_heap_limit = 0",
    "pragma in select": "select * from pragma_hard_heap_limit",
    "pragma function": "select * from pragma_compile_options",
    "pragma of files": "select * from pragma_database_list",
    "delete": "delete from papers",
    "delete after with": "with x as (select 1) delete from papers",
    "insert after with": "with x as (select 1) insert into tags (id) values ('x')",
    "update after with": "with x as (select 1) update papers set title = 'x'",
    "dbpage": "select * from sqlite_dbpage",
    "fts open": "select * from papers_fts where papers_fts match '" + "(" * 5_000 + "'",
    "null character": "select 'a\0b'",
    "nothing": ";",
}
"""Statements that end at once."""

HARMLESS = {
    "large rows": "select abstract, replace(hex(zeroblob(100000)), '0', 'x') from papers",
    "many rows": f"{NUMBERS} select i, i, i, i, i, i, i, i, i, i from n limit 100000",
    "many cells": f"{NUMBERS} select {', '.join(['i'] * 200)} from n limit 1000",
    "near": "select count(*) from papers_fts where papers_fts match 'NEAR("
    + " ".join(["model"] * 200) + ", 10)'",
    "schema": "select * from pragma_table_info('papers')",
    "functions": "select name from pragma_function_list",
    "dbstat": "select sum(pgsize) from dbstat",
    "statements": "select count(*) from sqlite_stmt",
    "explain": "explain select * from papers",
    "wide in": "select count(*) from papers where number in (" + ",".join(["1"] * 3_000) + ")",
    "same names": "select 1 as a, 2 as a",
    "printf wide": "select printf('%1000000000d', 1)",
    "fts special": "select * from papers_fts where papers_fts match '*reads'",
    "math": "select avg(exp(log(number + 1))) from papers",
}  # fmt: skip

ADDRESSES = {
    "where, endless": "papers?" + urlencode({"_where": f"({NUMBERS} select count(*) from n) = 1"}),
    "where, endless and facets": "papers?"
    + urlencode([("_where", f"({NUMBERS} select count(*) from n) = 1"), ("_facet", "title"),
                 ("_facet", "abstract"), ("_facet_array", "tags"), ("_facet_date", "published")]),
    "where, one call": "papers?" + urlencode({"_where": f"{ENDLESS['instr'][7:]} = 1"}),
    "many wheres": "papers?" + urlencode([("_where", f"number > {i}") for i in range(200)]),
    "many facets": "papers?" + urlencode([("_facet", "title"), ("_facet", "abstract")] * 25),
    "many array facets": "papers?" + urlencode([("_facet_array", f"tags{i}") for i in range(50)]),
    "many filters": "papers?" + urlencode([("title__contains", str(i)) for i in range(500)]),
    "like": "papers?" + urlencode({"abstract__like": "%a" * 5_000}),
    "glob": "papers?" + urlencode({"abstract__glob": "*[a-z]" * 2_000}),
    "raw search": "papers?" + urlencode({"_searchmode": "raw", "_search": "(" * 5_000}),
    "long search": "papers?" + urlencode({"_search": "a " * 10_000}),
    "long query": "search?" + urlencode({"q": "model " * 10_000}),
    "time limit": "?" + urlencode({"sql": ENDLESS["count"], "_timelimit": "999999"}),
    "many parameters": "?sql=select+1&" + urlencode({f"p{i}": "x" for i in range(999)}),
    "long SQL": "?" + urlencode({"sql": "select '" + "x" * 60_000 + "'"}),
    "comments": "?" + urlencode({"sql": "select 1 " + "/*" * 5_900}),
    "comments first": "?" + urlencode({"sql": "/* */ " * 1_900 + "x"}),
    "comment lines first": "?" + urlencode({"sql": "/**/--a\n " * 1_100 + "x"}),
    "quotes": "?" + urlencode({"sql": "select " + "'" * 11_901}),
    "CSV": ".csv?" + urlencode({"sql": ENDLESS["count"], "_stream": "on"}),
    "lines": ".ndjson?" + urlencode({"sql": ENDLESS["sort"], "_stream": "on"}),
    "citations": ".bib?" + urlencode({"sql": ENDLESS["instr"]}),
    "feed": ".atom?" + urlencode({"sql": ENDLESS["instr"]}),
    "size": "papers?_size=999999999",
}  # fmt: skip
"""Below /daily; all of them are refused."""

"""Web pages around a text, for benchmarks/dirty.py: five kinds of site, English and Chinese, with their boilerplate."""

import html
import json
import random

Words = tuple[tuple[str, ...], tuple[str, ...]]

# What sites put around a text, by language: (English, Chinese).
_ENGLISH_MENU = "Home World Business Technology Science Health Sports Culture Opinion Video Travel Weather Podcasts"
_CHINESE_MENU = "首页 新闻 国际 财经 科技 体育 娱乐 汽车 房产 教育 健康 旅游 视频 论坛"
MENU = (tuple(_ENGLISH_MENU.split()), tuple(_CHINESE_MENU.split()))
SITES = (
    ("The Daily Courier", "Northgate Review", "OpenNotes", "Hillside Library", "Techwire", "The Reading Room"),
    ("华夏新闻网", "东方资讯", "知识文库", "新视野", "读书人论坛", "科技前沿"),
)
COOKIES = (
    (
        "We use cookies to improve your experience on our site. By continuing to browse you agree to this.",
        "We and our 214 partners store and access information on your device. You can change your choices at any time.",
        "This website uses cookies for analytics and personalised content. Read our Cookie Policy to learn more.",
    ),
    (
        "本网站使用 Cookie 来改善您的浏览体验。继续浏览即表示您同意我们使用 Cookie。",
        "我们使用 Cookie 和类似技术为您提供更好的服务，点击“同意”即表示您接受我们的隐私政策。",
    ),
)
ACCEPT = (("Accept all", "Reject all", "Manage preferences"), ("同意", "拒绝", "更多设置"))
RELATED = (("Related articles", "You may also like", "More from this section"), ("相关阅读", "猜你喜欢", "热门推荐"))
HEADLINES = (
    (
        "Ten places to see before winter ends",
        "What the new budget means for you",
        "Scientists find a surprise beneath the ice",
        "How to choose a laptop this year",
        "The quiet return of the night train",
        "Markets close higher after a choppy week",
        "Five recipes for busy evenings",
        "Local team wins in extra time",
        "Why everyone is talking about sleep",
        "A short history of the pencil",
    ),
    (
        "今年冬天值得去的十个地方",
        "新政策出台，这些变化与你有关",
        "研究人员在冰层下有新发现",
        "如何挑选一台适合自己的电脑",
        "夜间列车悄然回归",
        "股市本周震荡收涨",
        "五道简单易学的家常菜",
        "主队加时赛险胜对手",
        "专家：这样睡觉更健康",
        "一支铅笔的前世今生",
    ),
)
SHARE = (
    ("Share on Facebook", "Share on X", "Copy link", "Print this page", "Email", "Save for later"),
    ("分享到微信", "分享到微博", "复制链接", "打印本页", "收藏", "举报"),
)
FOOTER = (
    ("About us", "Contact", "Careers", "Advertise", "Terms of use", "Privacy policy", "Accessibility", "Sitemap"),
    ("关于我们", "联系我们", "加入我们", "广告服务", "用户协议", "隐私政策", "网站地图", "友情链接"),
)
RIGHTS = (
    (
        "All rights reserved.",
        "No part of this site may be reproduced without permission.",
        "Registered office: 4 Mill Lane.",
    ),
    (
        "版权所有 未经授权禁止转载",
        "京ICP备10023456号-1",
        "违法和不良信息举报电话：010-12345678",
        "客服热线：400-800-1234",
    ),
)
SIGN_UP = (
    ("Sign up for our newsletter and never miss a story.", "Your email address", "Subscribe"),
    ("订阅我们的邮件，第一时间获取最新资讯。", "请输入邮箱地址", "立即订阅"),
)
COMMENTS = (
    ("Leave a comment", "Log in to reply", "Great post, thanks for sharing!", "3 comments", "Load more comments"),
    ("发表评论", "登录后参与评论", "写得真好，学习了！", "共3条评论", "查看更多评论"),
)
MARKS = (("Skip to main content", "Search", "Log in", "Advertisement"), ("跳到主要内容", "搜索", "登录", "广告"))
BY = (
    ("By {} | Updated 12 March 2024 | 4 min read", "Posted by {} on 3 May 2021"),
    ("来源：{}　2024-03-12 08:30", "作者：{}　发布时间：2021年5月3日"),
)
NAMES = (("J. Whitfield", "Maria Santos", "Staff Writer", "T. Okafor"), ("本站编辑", "王小明", "李静", "综合报道"))


def page(text: str, chance: random.Random, charset: str, *, chinese: bool) -> str:
    """The text, whole and in order, inside the page of some site. `charset` is what the page says of itself."""
    site = _Site(chance, chinese)
    title = html.escape(text.split("\n", 1)[0].lstrip("# ")[:60])
    body, extra = chance.choice((_news, _blog, _portal, _manual, _forum))(site, title, _paragraphs(text))
    head = (
        f'<meta charset="{charset}">\n<title>{title} - {site.name}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="description" content="{site.one(HEADLINES)}">\n'
        f'<link rel="stylesheet" href="/static/css/main.{chance.getrandbits(32):08x}.css">\n'
        f"{site.style()}\n{site.script()}"
    )
    lang = "zh-CN" if chinese else "en"
    return (
        f'<!DOCTYPE html>\n<html lang="{lang}">\n<head>\n{head}\n</head>\n'
        f"<body{extra}>\n{body}\n{site.script()}\n</body>\n</html>\n"
    )


def _paragraphs(text: str) -> str:
    """Blocks between blank lines, as headings where they are marked as such."""
    blocks = []
    for block in text.split("\n\n"):
        if not block.strip():
            continue
        mark = len(block) - len(block.lstrip("#"))
        escaped = html.escape(block.strip("\n"), quote=False)
        if 1 <= mark <= 6 and block[mark : mark + 1] == " " and "\n" not in block.strip():
            blocks.append(f"<h{mark}>{html.escape(block[mark:].strip(), quote=False)}</h{mark}>")
        else:
            blocks.append("<p>" + escaped.replace("\n", "<br>\n") + "</p>")
    return "\n".join(blocks)


class _Site:
    """Draws the parts of one page."""

    def __init__(self, chance: random.Random, chinese: bool) -> None:
        self.chance, self.chinese = chance, chinese
        self.name = self.one(SITES)

    def some(self, words: Words, least: int, most: int) -> list[str]:
        known = words[self.chinese]
        return self.chance.sample(known, min(len(known), self.chance.randint(least, most)))

    def one(self, words: Words) -> str:
        return self.chance.choice(words[self.chinese])

    def word(self, words: Words, index: int) -> str:
        return words[self.chinese][index]

    def links(self, words: Words, least: int, most: int, tag: str = "li") -> str:
        found = self.some(words, least, most)
        return "\n".join(f'<{tag}><a href="/{self.chance.randrange(99999)}.html">{word}</a></{tag}>' for word in found)

    def by(self) -> str:
        return self.one(BY).format(self.one(NAMES))

    def style(self) -> str:
        names = ("main", "nav", "card", "ad-slot", "footer", "hero", "btn", "modal")
        rules = (
            f".{name}{{margin:{self.chance.randrange(40)}px;color:#{self.chance.getrandbits(24):06x};display:flex}}"
            for name in self.chance.sample(names, 5)
        )
        return "<style>" + "".join(rules) + "@media(max-width:600px){.nav{display:none}}</style>"

    def script(self) -> str:
        facts = {"id": self.chance.getrandbits(40), "section": self.one(MENU), "ab": self.chance.choice("abc")}
        return (
            f"<script>window.dataLayer=window.dataLayer||[];dataLayer.push({json.dumps(facts, ensure_ascii=False)});"
            "(function(d,s){var j=d.createElement(s);if(1<2&&d.body){d.body.appendChild(j)}})(document,'script');"
            "</script>\n<!-- end analytics -->"
        )

    def cookies(self) -> str:
        buttons = "".join(f"<button type='button'>{word}</button>" for word in ACCEPT[self.chinese])
        return f'<div id="cookie-consent" class="modal" role="dialog"><p>{self.one(COOKIES)}</p>{buttons}</div>'

    def related(self) -> str:
        return f"<h3>{self.one(RELATED)}</h3>\n<ul>\n{self.links(HEADLINES, 4, 8)}\n</ul>"

    def share(self) -> str:
        return '<div class="share-buttons">' + self.links(SHARE, 3, 6, "span") + "</div>"

    def sign_up(self) -> str:
        said, address, button = SIGN_UP[self.chinese]
        return f'<form class="newsletter"><p>{said}</p><input placeholder="{address}"><button>{button}</button></form>'

    def comments(self) -> str:
        title, login, said, count, more = COMMENTS[self.chinese]
        return (
            f'<div id="comments"><h3>{count}</h3><div class="comment"><b>{self.one(NAMES)}</b> <p>{said}</p></div>'
            f'<a href="#">{more}</a><h4>{title}</h4><a href="/login">{login}</a></div>'
        )

    def footer(self) -> str:
        rights = " ".join(self.some(RIGHTS, 2, 4))
        return f"<ul>\n{self.links(FOOTER, 5, 8)}\n</ul>\n<p>&copy; 2024 {self.name}. {rights}</p>"


_Made = tuple[str, str]  # what stands in the body, and the body's attributes


def _news(site: _Site, title: str, text: str) -> _Made:
    return (
        f"""<a class="skip" href="#main">{site.word(MARKS, 0)}</a>
{site.cookies()}
<header><div class="logo"><a href="/">{site.name}</a></div>
<nav><ul>
{site.links(MENU, 7, 12)}
</ul></nav></header>
<main id="main"><article><h1>{title}</h1><p class="byline">{site.by()}</p>
{site.share()}
<div class="article-body">
{text}
</div></article>
<aside><div class="ad-slot">{site.word(MARKS, 3)}</div>
{site.related()}
{site.sign_up()}</aside></main>
<footer>{site.footer()}</footer>""",
        "",
    )


def _blog(site: _Site, title: str, text: str) -> _Made:
    return (
        f"""<div id="wrapper"><div id="header"><div class="site-title">{site.name}</div>
<div class="menu">{site.links(MENU, 4, 7, "span")}</div></div>
<div id="content"><div class="post"><h2 class="post-title">{title}</h2><div class="meta">{site.by()}</div>
<div class="entry">
{text}
</div>
{site.share()}</div>
{site.comments()}</div>
<div id="sidebar"><input type="text" value="{site.word(MARKS, 1)}">{site.related()}</div>
<div id="footer">{site.footer()}</div></div>
{site.cookies()}""",
        ' class="single-post"',
    )


def _portal(site: _Site, title: str, text: str) -> _Made:
    cells = site.links(MENU, 8, 14, "td")
    return (
        f"""<center><table width="980" cellpadding="0"><tr>{cells}</tr></table></center>
<table width="980" align="center"><tr><td valign="top" width="680">
<font size="5"><b>{title}</b></font><br><font color="#999999">{site.by()}</font>
<!-- text begins -->
{text}
<!-- text ends -->
{site.share()}</td>
<td valign="top" width="300">{site.related()}<hr>{site.related()}</td></tr></table>
<div align="center">{site.footer()}</div>""",
        ' bgcolor="#ffffff"',
    )


def _manual(site: _Site, title: str, text: str) -> _Made:
    return (
        f"""<div class="navbar">{site.name} | <a href="/login">{site.word(MARKS, 2)}</a> | {site.word(MARKS, 1)}</div>
<div class="container"><div class="sidebar" role="navigation"><ul class="toc">
{site.links(HEADLINES, 5, 10)}
</ul></div>
<div class="document" role="main"><ol class="breadcrumb">
{site.links(MENU, 2, 3)}
</ol><h1>{title}</h1>
{text}
</div></div>
<footer class="footer">{site.footer()}</footer>
{site.cookies()}
<noscript><img src="/pixel.gif?id={site.chance.getrandbits(32)}" width="1" height="1" alt=""></noscript>""",
        "",
    )


def _forum(site: _Site, title: str, text: str) -> _Made:
    return (
        f"""<div class="top-bar"><ul>
{site.links(MENU, 5, 9)}
</ul><a href="/login">{site.word(MARKS, 2)}</a></div>
<div class="thread"><h1>{title}</h1>
<div class="message"><div class="author"><img src="/a.png" alt=""><b>{site.one(NAMES)}</b></div>
<div class="message-body">
{text}
</div>{site.share()}</div>
{site.comments()}</div>
<div class="recommend">{site.related()}</div>
<div class="bottom">{site.footer()}</div>""",
        "",
    )
